//! Clients that keep to no rule: what they send is refused, and nobody else is kept waiting.
//!
//! They write frames by hand. How honest clients are answered is shown elsewhere.

mod crowd;
mod descriptors;
mod flips;
mod frames;
mod garbage;
mod limits;
mod lingering;
mod patience;
mod questions;
mod strangers;
mod subscriptions;
mod swamping;
mod vectors;
mod wire;
