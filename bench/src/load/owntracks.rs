//! A report as OwnTracks for Android sends it: the header fields of its HTTP mode, and the fields of its message.

/// Where the length of the message stands before that is known: it has three digits.
const LENGTH: &[u8] = b"\r\nContent-Length: 000\r\n\r\n";

/// Who reports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phone<'a> {
    /// The user that the app names.
    pub(crate) user: &'a [u8],
    /// The device.
    pub(crate) device: &'a [u8],
    /// What the app shows as `Authorization`, if its user has a login.
    pub(crate) login: Option<&'a str>,
}

/// Appends a request with a report from a place at a time in digits of seconds.
pub(crate) fn push_report(phone: Phone<'_>, place: (&str, &str), time_s: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(
        b"POST /pub HTTP/1.1\r\nContent-Type: application/json; charset=utf-8\r\nX-Limit-U: ",
    );
    out.extend_from_slice(phone.user);
    out.extend_from_slice(b"\r\nX-Limit-D: ");
    out.extend_from_slice(phone.device);
    if let Some(login) = phone.login {
        out.extend_from_slice(b"\r\nAuthorization: ");
        out.extend_from_slice(login.as_bytes());
    }
    out.extend_from_slice(
        b"\r\nUser-Agent: Owntracks-Android/gms/420509000\r\nHost: localhost:8083\r\nConnection: Keep-Alive\r\n\
          Accept-Encoding: gzip",
    );
    out.extend_from_slice(LENGTH);
    let body = out.len();
    push_message(phone, place, time_s, out);
    let length = out.len() - body;
    for (at, unit) in [(3, 100), (2, 10), (1, 1)] {
        out[body - b"\r\n\r\n".len() - at] = b'0' + (length / unit % 10) as u8;
    }
}

/// Appends the message alone.
pub(crate) fn push_message(phone: Phone<'_>, place: (&str, &str), time_s: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(
        br#"{"_type":"location","acc":12,"alt":40,"batt":85,"bs":1,"BSSID":"02:00:00:00:00:00","cog":90,"conn":"w""#,
    );
    out.extend_from_slice(br#","created_at":"#);
    out.extend_from_slice(time_s);
    out.extend_from_slice(br#","lat":"#);
    out.extend_from_slice(place.0.as_bytes());
    out.extend_from_slice(br#","lon":"#);
    out.extend_from_slice(place.1.as_bytes());
    out.extend_from_slice(br#","m":1,"SSID":"home","t":"u","tid":"JP","topic":"owntracks/"#);
    out.extend_from_slice(phone.user);
    out.push(b'/');
    out.extend_from_slice(phone.device);
    out.extend_from_slice(br#"","tst":"#);
    out.extend_from_slice(time_s);
    out.extend_from_slice(br#","vac":3,"vel":18,"_id":"0a1b2c3d"}"#);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_says_how_long_it_is() {
        let phone = Phone { user: b"jane", device: b"phone", login: Some("Basic amFuZTpzZWNyZXQ=") };
        let mut out = Vec::new();
        push_report(phone, ("52.0001", "4.3007"), b"1700000000", &mut out);
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{text}");
        assert!(head.contains("\r\nAuthorization: Basic amFuZTpzZWNyZXQ=\r\n"), "{text}");
        let message: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((&message["lat"], &message["tst"]), (&52.0001.into(), &1_700_000_000.into()));
    }
}
