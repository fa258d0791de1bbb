//! Decimal digits, eight at a time, as the bytes of one number, in which the first byte of the text is the lowest one.

/// One byte eight times.
pub(crate) const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Digits at the start of eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digits {
    /// The values of the digits, first digit first, and then the bytes that stand behind them.
    values: u64,
    /// How many bits they are long: eight for each.
    bits: u32,
}

impl Digits {
    /// The run of digits at the start of these bytes, which may be empty; `None` if all eight are digits, because
    /// then the run may go on.
    #[inline(always)]
    pub(crate) fn of(bytes: [u8; 8]) -> Option<Digits> {
        let values = u64::from_le_bytes(bytes) ^ each(b'0');
        let stops = no_digits(values);
        // A carry goes upwards, so the lowest mark is right.
        (stops != 0).then(|| Digits { values, bits: stops.trailing_zeros() & !7 })
    }

    /// How many there are, below eight.
    #[inline(always)]
    pub(crate) fn len(self) -> usize {
        self.bits as usize / 8
    }

    /// Whether there is none.
    #[inline(always)]
    pub(crate) fn is_empty(self) -> bool {
        self.bits == 0
    }

    /// The digits alone, behind zeros, the last one in the highest byte. There must be one at least.
    #[inline(always)]
    fn aligned(self) -> u64 {
        self.values.wrapping_shl(64 - self.bits)
    }

    /// The digits as those of a number with one byte for each: such numbers compare as the digits do. Without a digit
    /// it is beyond all of seven digits.
    #[inline(always)]
    pub(crate) fn spread(self) -> u64 {
        self.aligned().swap_bytes()
    }

    /// The number that the digits are. There must be one at least.
    pub(crate) fn value(self) -> u64 {
        value8(self.aligned())
    }
}

/// The value of eight digits; `None` if one of these bytes is something else.
#[inline(always)]
pub(crate) fn eight(bytes: [u8; 8]) -> Option<u64> {
    let values = u64::from_le_bytes(bytes) ^ each(b'0');
    (no_digits(values) == 0).then(|| value8(values))
}

/// The value of one digit; `None` if it is something else.
#[inline(always)]
pub(crate) fn one(byte: u8) -> Option<u64> {
    let value = byte ^ b'0';
    (value < 10).then_some(u64::from(value))
}

/// Marks in the highest bit of each byte that it is above nine. Above the lowest mark there may be wrong ones.
#[inline(always)]
fn no_digits(values: u64) -> u64 {
    (values.wrapping_add(each(0x76)) | values) & each(0x80)
}

/// Eight values from 0 to 9 as one number, the first in the lowest byte.
#[inline(always)]
fn value8(values: u64) -> u64 {
    // Neighbours are joined to pairs, pairs to fours, and these to one number.
    let pairs = values.wrapping_mul(10 * 0x100 + 1) >> 8;
    let fours = (pairs & 0x00FF_00FF_00FF_00FF).wrapping_mul(100 * 0x1_0000 + 1) >> 16;
    (fours & 0x0000_FFFF_0000_FFFF).wrapping_mul(10_000 * 0x1_0000_0000 + 1) >> 32
}

/// The eight decimal digits of a number below 10^8, as text.
#[inline(always)]
pub(crate) fn text8(number: u32) -> [u8; 8] {
    // The steps of `value8` the other way round. The factors divide by 100 and by 10, exactly for all that can be
    // there.
    let number = u64::from(number);
    let fours = (number / 10_000) | (number % 10_000) << 32;
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007F_0000_007F;
    let pairs = hundreds | (fours - 100 * hundreds) << 16;
    let tens = ((pairs * 103) >> 10) & 0x000F_000F_000F_000F;
    let values = tens | (pairs - 10 * tens) << 8;
    (values | each(b'0')).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length of a run of digits, with every byte behind it.
    #[test]
    fn run_of_digits_ends_at_every_other_byte() {
        for stop in (0..=255_u8).filter(|byte| !byte.is_ascii_digit()) {
            for len in 0..8 {
                for behind in [b'7', stop, 0, 0xFF] {
                    let mut bytes = *b"12345678";
                    bytes[len..].fill(behind);
                    bytes[len] = stop;
                    let digits = Digits::of(bytes).unwrap();
                    assert_eq!((digits.len(), digits.is_empty()), (len, len == 0), "{bytes:?}");
                    assert_eq!(eight(bytes), None, "{bytes:?}");
                    if len == 0 {
                        assert!(digits.spread() > 0x09_09_09_09_09_09_09, "{bytes:?}");
                    } else {
                        let value: u64 = "12345678"[..len].parse().unwrap();
                        assert_eq!(digits.value(), value, "{bytes:?}");
                        assert_eq!(
                            digits.spread(),
                            u64::from_str_radix(&value.to_string(), 16).map(wide).unwrap()
                        );
                    }
                }
            }
        }
        assert_eq!(Digits::of(*b"00000000"), None);
    }

    /// Puts each half of a byte into a byte of its own.
    fn wide(number: u64) -> u64 {
        (0..8).map(|at| ((number >> (4 * at)) & 0xF) << (8 * at)).sum()
    }

    #[test]
    fn digits_and_numbers_turn_into_each_other() {
        for number in (0..100_000_000_u32).step_by(9973).chain([99_999_999]) {
            let text = format!("{number:08}");
            assert_eq!(text8(number), text.as_bytes());
            assert_eq!(eight(text8(number)), Some(u64::from(number)));
        }
        for number in 0..=9999 {
            assert_eq!(
                text8(number * 10_000 + 9999 - number),
                *format!("{number:04}{:04}", 9999 - number).as_bytes()
            );
        }
        for byte in 0..=255_u8 {
            assert_eq!(one(byte), char::from(byte).to_digit(10).map(u64::from));
        }
    }
}
