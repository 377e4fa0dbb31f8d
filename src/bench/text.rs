//! What the messages of a benchmark say.

/// Bytes of a text unless said otherwise.
pub(super) const TEXT_BYTES: usize = 100;

/// A text of so many bytes.
pub(super) fn text(bytes: usize) -> String {
    (b'a'..=b'z').cycle().take(bytes).map(char::from).collect()
}
