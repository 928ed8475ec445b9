//! What is found in whole files, on a system that is made up.
