//! Reading files whose length nobody vouches for.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads a whole file of at most `max_bytes`. Whatever it is, a device or a pipe
/// that never ends as well, no more is read than tells that it is longer.
///
/// # Errors
/// [`io::ErrorKind::FileTooLarge`] for a longer one; those of opening and reading.
pub fn read_bounded(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(max_bytes + 1).read_to_end(&mut content)?;
    if content.len() as u64 > max_bytes {
        let why = format!("it has more than {max_bytes} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_than_tells_that_it_is_too_long() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("file");
        for length in [0, 1, 99, 100] {
            std::fs::write(&path, vec![7; length])?;
            assert_eq!(read_bounded(&path, 100)?, vec![7; length]);
        }
        std::fs::write(&path, [7; 101])?;
        for longer in [&path, Path::new("/dev/zero")] {
            let error = read_bounded(longer, 100).expect_err("too long");
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        }
        Ok(())
    }
}
