//! The properties of version 5: all are checked, and those few are kept that mean something here.

use super::bad_packet::BadPacket;
use super::fields::Fields;

/// The most properties of a packet: apps send half a dozen.
const PROPERTIES_MAX: usize = 64;

/// In which packets a property may stand.
pub mod of {
    /// CONNECT.
    pub const CONNECT: u64 = super::set(&[0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27]);
    /// The will in a CONNECT.
    pub const WILL: u64 = super::set(&[0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26]);
    /// PUBLISH of a client.
    pub const PUBLISH: u64 = super::set(&[0x01, 0x02, 0x03, 0x08, 0x09, 0x23, 0x26]);
    /// PUBACK, PUBREC, PUBREL and PUBCOMP.
    pub const ACKNOWLEDGEMENT: u64 = super::set(&[0x1f, 0x26]);
    /// SUBSCRIBE.
    pub const SUBSCRIBE: u64 = super::set(&[0x0b, 0x26]);
    /// UNSUBSCRIBE.
    pub const UNSUBSCRIBE: u64 = super::set(&[0x26]);
    /// DISCONNECT of a client.
    pub const DISCONNECT: u64 = super::set(&[0x11, 0x1f, 0x26]);
}

const USER: u8 = 0x26;

/// Those that mean something here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// How many messages the other side takes unacknowledged.
    pub receive_max: Option<u16>,
    /// How many bytes of a packet it takes.
    pub packet_bytes_max: Option<u32>,
    /// The number that stands for a topic.
    pub topic_alias: Option<u16>,
    /// Whether a way to log in is named that is not the password.
    pub has_login_method: bool,
    /// Whether a subscription has an identifier.
    pub has_subscription_id: bool,
}

const fn set(ids: &[u8]) -> u64 {
    let (mut set, mut at) = (0, 0);
    while at < ids.len() {
        set |= 1 << ids[at];
        at += 1;
    }
    set
}

impl Properties {
    /// Reads them, of which only those in `allowed` may be there, and each but those of users once.
    ///
    /// # Errors
    /// If they are not as the protocol says.
    pub fn read(fields: &mut Fields<'_>, allowed: u64) -> Result<Properties, BadPacket> {
        let count = fields.variable()?;
        let mut fields = Fields(fields.bytes(count)?);
        let (mut properties, mut seen, mut count) = (Properties::default(), 0_u64, 0);
        while !fields.0.is_empty() {
            let id = fields.byte()?;
            count += 1;
            let bit = 1_u64.checked_shl(id.into()).filter(|bit| allowed & bit != 0);
            let bit = bit.ok_or(BadPacket::Protocol)?;
            if seen & bit != 0 && id != USER || count > PROPERTIES_MAX {
                return Err(BadPacket::Protocol);
            }
            seen |= bit;
            match id {
                0x01 | 0x17 | 0x19 => {
                    if fields.byte()? > 1 {
                        return Err(BadPacket::Protocol);
                    }
                }
                0x02 | 0x11 | 0x18 => drop(fields.four()?),
                0x03 | 0x08 | 0x1f => drop(fields.text()?),
                0x09 | 0x16 => drop(fields.binary()?),
                0x0b => {
                    properties.has_subscription_id = true;
                    fields.variable()?;
                }
                0x15 => {
                    properties.has_login_method = true;
                    fields.text()?;
                }
                0x21 => properties.receive_max = Some(fields.two().and_then(not_zero)?),
                0x22 => drop(fields.two()?),
                0x23 => properties.topic_alias = Some(fields.two()?),
                USER => {
                    fields.text()?;
                    fields.text()?;
                }
                0x27 => properties.packet_bytes_max = Some(fields.four().and_then(not_zero)?),
                _ => return Err(BadPacket::Malformed),
            }
        }
        Ok(properties)
    }
}

fn not_zero<T: PartialEq + From<u8>>(number: T) -> Result<T, BadPacket> {
    if number == T::from(0) { Err(BadPacket::Protocol) } else { Ok(number) }
}
