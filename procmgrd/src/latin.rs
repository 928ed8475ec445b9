//! Bytes in JSON: a text of the characters that have the same numbers (Latin-1), so that what is ASCII can be read.
//!
//! What the bytes are is not known here.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that are a text in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.iter().map(|byte| char::from(*byte)).collect::<String>())
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes =
            text.chars().map(|character| u8::try_from(u32::from(character))).collect::<Result<_, _>>();
        bytes.map(Self).map_err(|_| D::Error::custom("a character that stands for no byte"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_and_ascii_can_be_read() {
        let all = Bytes((0..=u8::MAX).collect());
        let json = serde_json::to_string(&all).unwrap();
        assert!(json.contains("ABC") && json.contains("xyz"), "{json}");
        assert_eq!(serde_json::from_str::<Bytes>(&json).unwrap(), all);
    }

    #[test]
    fn a_text_that_is_no_bytes_is_refused() {
        assert!(serde_json::from_str::<Bytes>("\"\u{20ac}\"").is_err());
        assert!(serde_json::from_str::<Bytes>("[1]").is_err());
    }
}
