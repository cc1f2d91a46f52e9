//! `traceparent` of W3C Trace Context, levels 1 and 2.

/// Length of a version 00 header: `00-` 32 digits `-` 16 digits `-` 2 digits.
const LENGTH: usize = 55;
/// Bits of the flags that have a meaning: sampled (level 1) and random trace id (level 2).
const KNOWN_FLAGS: u8 = 0b11;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// Never 0.
    pub trace_id: u128,
    /// Never 0.
    pub parent_id: u64,
    /// Bit 0: sampled; bit 1: the trace id is random. Bits without a meaning are left out.
    pub flags: u8,
}

impl TraceParent {
    /// Reads a header value, without the white space around it. `None` for everything that the
    /// specification has a receiver ignore: capitals, ids of zeros, version `ff`, a version 00 of
    /// another length, and a later version that does not begin like version 00.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (head, rest) = value.split_at_checked(LENGTH)?;
        let [v0, v1, b'-', middle @ .., b'-', f0, f1] = head else {
            return None;
        };
        let version = byte(*v0, *v1)?;
        let extended = match rest {
            [] => false,
            [b'-', ..] => true,
            _ => return None,
        };
        if version == 0xff || (version == 0 && extended) {
            return None;
        }
        let (trace, parent) = middle.split_at_checked(32)?;
        let (b'-', parent) = parent.split_first()? else {
            return None;
        };
        let trace_id = number(trace)?;
        let parent_id = u64::try_from(number(parent)?).ok()?;
        if trace_id == 0 || parent_id == 0 {
            return None;
        }
        Some(Self {
            trace_id,
            parent_id,
            flags: byte(*f0, *f1)? & KNOWN_FLAGS,
        })
    }

    #[must_use]
    pub const fn sampled(self) -> bool {
        self.flags & 1 == 1
    }
}

/// Lower case only, as the specification has it.
const fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

fn byte(high: u8, low: u8) -> Option<u8> {
    Some(digit(high)? << 4 | digit(low)?)
}

fn number(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, character| {
        Some(number << 4 | u128::from(digit(*character)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_example_of_the_specification_is_read() {
        let parent = TraceParent::parse(VALID.as_bytes()).unwrap();
        assert_eq!(parent.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(parent.parent_id, 0xb7ad_6b71_6920_3331);
        assert!(parent.sampled());
    }

    #[test]
    fn what_a_receiver_must_ignore_is_ignored() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let span = "b7ad6b7169203331";
        for bad in [
            String::new(),
            VALID.to_uppercase(),
            format!(" {VALID}"),
            format!("{VALID} "),
            format!("{VALID}-"),
            format!("{VALID}-00"),
            format!("ff-{trace}-{span}-01"),
            format!("0-{trace}-{span}-01"),
            format!("0g-{trace}-{span}-01"),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{trace}-{span}-0"),
            format!("00-{trace}-{span}-0g"),
            format!("00-{trace}_{span}-01"),
            format!("00_{trace}-{span}-01"),
            format!("00-{trace}-{span}_01"),
            format!("00-{trace}{span}--01"),
            format!("00-{}-{span}-01", "é".repeat(16)),
            format!("01-{trace}-{span}-01."),
            format!("01-{trace}-{span}-011"),
        ] {
            assert_eq!(TraceParent::parse(bad.as_bytes()), None, "{bad}");
        }
        for cut in 0..VALID.len() {
            assert_eq!(
                TraceParent::parse(&VALID.as_bytes()[..cut]),
                None,
                "{cut} bytes"
            );
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = VALID.replacen("00", "cc", 1);
        assert!(TraceParent::parse(later.as_bytes()).is_some());
        let longer = format!("{later}-what-the-future-brings");
        assert!(TraceParent::parse(longer.as_bytes()).is_some());
    }

    #[test]
    fn flags_without_a_meaning_are_left_out() {
        let all = VALID.replace("-01", "-ff");
        assert_eq!(TraceParent::parse(all.as_bytes()).unwrap().flags, 3);
        let none = VALID.replace("-01", "-00");
        assert!(!TraceParent::parse(none.as_bytes()).unwrap().sampled());
    }
}
