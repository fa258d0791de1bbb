//! The slots of a Redis cluster, into which a hash sorts all keys. Pure.

/// All of them.
const SLOTS: usize = 16_384;

/// The last of them.
pub(super) const LAST_SLOT: usize = SLOTS - 1;

/// The slot of a key: that of what stands in its first braces, if there is anything.
pub(super) fn slot_of(key: &[u8]) -> usize {
    let tag = key.iter().position(|&byte| byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|&byte| byte == b'}')?;
        Some(&rest[..close]).filter(|tag| !tag.is_empty())
    });
    slot(tag.unwrap_or(key))
}

/// A text whose slot is in this part, where the slots are cut into as many parts of equal size.
pub(super) fn tag_of(part: usize, parts: usize) -> String {
    let size = SLOTS / parts;
    let mut texts = (0..).map(|number: u32| number.to_string());
    texts.find(|text| slot(text.as_bytes()) / size == part).unwrap_or_default()
}

fn slot(text: &[u8]) -> usize {
    usize::from(crc16(text)) % SLOTS
}

/// CRC-16 of XMODEM, as the specification of the cluster has it.
fn crc16(text: &[u8]) -> u16 {
    text.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc: u16, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot_of(b"foo"), 12_182);
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"{user1000}.followers"));
        assert_eq!(slot_of(b"foo{}{bar}"), slot(b"foo{}{bar}"));
    }

    #[test]
    fn every_part_of_the_slots_has_a_text() {
        for part in 0..64 {
            assert_eq!(slot(tag_of(part, 64).as_bytes()) / 256, part);
        }
    }
}
