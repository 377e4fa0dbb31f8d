//! Numbers of bytes as users write and read them: `256MiB`, `64 KiB`, `8 bytes`.

const UNITS: [(u64, &str); 4] =
    [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

/// Reads a whole number of bytes, with one of the units `KiB`, `MiB`, `GiB` and `TiB`, in any
/// case and with or without a space before it, or alone. `None` for anything else, also for
/// one that overflows.
pub fn parse_size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim_start();
    if unit.is_empty() && digits == text.len() {
        return Some(number);
    }
    let (size, _) = UNITS.into_iter().find(|(_, name)| name.eq_ignore_ascii_case(unit))?;
    number.checked_mul(size)
}

/// Writes bytes in the largest unit of which there is one, exactly where that is whole.
pub fn format_size(bytes: u64) -> String {
    match UNITS.into_iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) if bytes.is_multiple_of(size) => format!("{} {unit}", bytes / size),
        Some((size, unit)) => format!("{:.1} {unit}", bytes as f64 / size as f64),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        for (text, bytes) in [
            ("0", 0),
            ("1023", 1023),
            ("1KiB", 1024),
            ("256 mib", 256 << 20),
            ("3GiB", 3 << 30),
            ("1TiB", 1 << 40),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
            if bytes >= 1024 {
                assert_eq!(parse_size(&format_size(bytes)), Some(bytes), "{text}");
            }
        }
        for text in ["", "MiB", "1.5GiB", "-1", "1 ", "5MB", "1kB", "99999999TiB", "1 2", "١"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
        assert_eq!(format_size(7), "7 bytes");
        assert_eq!(format_size((3 << 30) / 2), "1.5 GiB");
    }
}
