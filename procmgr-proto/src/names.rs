//! Enumerations that travel as names: from a variant to its name, and back.
//!
//! Which names there are stands beside each enumeration.

/// Has an enumeration travel as the names of its table `NAMES`; one that is not there is its variant `Other`.
macro_rules! travels_as_name {
    ($kind:ident, such as $example:literal) => {
        impl $kind {
            /// Returns all that this version knows.
            pub fn known() -> impl Iterator<Item = Self> {
                Self::NAMES.into_iter().map(|(variant, _)| variant)
            }

            #[doc = concat!("Returns the name, such as `", $example, "`.")]
            pub fn name(&self) -> &[u8] {
                if let Self::Other(name) = self {
                    return name;
                }
                let known = Self::NAMES.iter().find(|(variant, _)| variant == self);
                known.map_or(b"", |(_, name)| name.as_bytes())
            }
        }

        impl From<Vec<u8>> for $kind {
            fn from(name: Vec<u8>) -> Self {
                let known = Self::NAMES.into_iter().find(|(_, known)| known.as_bytes() == name);
                known.map_or(Self::Other(name), |(variant, _)| variant)
            }
        }

        impl From<$kind> for Vec<u8> {
            fn from(it: $kind) -> Self {
                it.name().to_vec()
            }
        }

        impl ::std::fmt::Display for $kind {
            fn fmt(&self, formatter: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                write!(formatter, "{}", self.name().escape_ascii())
            }
        }
    };
}

pub(crate) use travels_as_name;
