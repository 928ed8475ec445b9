//! Enumerations that travel as names: from a variant to its name, and back.
//!
//! Which names there are stands beside each enumeration.

/// Returns the name that a table has for a variant; empty if it has none.
pub(crate) fn name_in<T: PartialEq>(names: &[(T, &'static str)], variant: &T) -> &'static [u8] {
    names.iter().find(|(known, _)| known == variant).map_or(b"", |(_, name)| name.as_bytes())
}

/// Returns the variant that a table has for a name.
pub(crate) fn named_in<T, const COUNT: usize>(names: [(T, &'static str); COUNT], name: &[u8]) -> Option<T> {
    names.into_iter().find(|(_, known)| known.as_bytes() == name).map(|(variant, _)| variant)
}
