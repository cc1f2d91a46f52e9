//! Reads records out of untrusted bytes.

use crate::record::{
    Close, Data, End, Exec, Header, MAGIC, Open, Secured, UNIX_NAME, Unix, VERSION, kind,
};

/// A record, with its payload where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    Open(Open),
    Data(Data, &'a [u8]),
    Secured(Secured),
    End(End),
    Close(Close),
    Unix(Unix),
    Exec(Exec),
    /// Who uses a socket from here on.
    Held(Exec),
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than what it claims to be.
    Short,
    /// Another magic number.
    Magic(u32),
    /// Of a kernel side of another version.
    Version(u16),
    /// No such kind.
    Kind(u16),
    /// Lengths that contradict each other.
    Length,
}

/// Takes integers from the front of a slice; 0 once it is exhausted, which `new` rules out.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.bytes.split_first_chunk::<N>() {
            Some((front, rest)) => {
                self.bytes = rest;
                *front
            }
            None => [0; N],
        }
    }
    fn u8(&mut self) -> u8 {
        u8::from_ne_bytes(self.take())
    }
    fn u16(&mut self) -> u16 {
        u16::from_ne_bytes(self.take())
    }
    fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.take())
    }
    fn u64(&mut self) -> u64 {
        u64::from_ne_bytes(self.take())
    }
}

impl<'a> Record<'a> {
    /// Reads the record at the front of `bytes`, which may be longer: what follows the record's own
    /// length is never looked at.
    ///
    /// # Errors
    /// [`Malformed`], when the bytes are not a record of this version.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() < size_of::<Header>() {
            return Err(Malformed::Short);
        }
        let mut reader = Reader { bytes };
        let header = header(&mut reader);
        if header.magic != MAGIC {
            return Err(Malformed::Magic(header.magic));
        }
        if header.version != VERSION {
            return Err(Malformed::Version(header.version));
        }
        let len = usize::try_from(header.len).map_err(|_| Malformed::Length)?;
        let fixed = match header.kind {
            kind::OPEN => size_of::<Open>(),
            kind::DATA => size_of::<Data>(),
            kind::SECURED => size_of::<Secured>(),
            kind::END => size_of::<End>(),
            kind::CLOSE => size_of::<Close>(),
            kind::UNIX => size_of::<Unix>(),
            kind::EXEC | kind::HELD => size_of::<Exec>(),
            other => return Err(Malformed::Kind(other)),
        };
        if len < fixed {
            return Err(Malformed::Length);
        }
        let record = bytes.get(..len).ok_or(Malformed::Short)?;
        let payload = record.get(fixed..).ok_or(Malformed::Short)?;
        reader.bytes = record.get(size_of::<Header>()..).ok_or(Malformed::Short)?;
        Ok(match header.kind {
            kind::OPEN => Self::Open(open(header, &mut reader)),
            kind::DATA => {
                let data = data(header, &mut reader);
                let captured = usize::try_from(data.captured).map_err(|_| Malformed::Length)?;
                if captured != payload.len() || u64::from(data.captured) > data.bytes {
                    return Err(Malformed::Length);
                }
                Self::Data(data, payload)
            }
            kind::SECURED => Self::Secured(Secured {
                header,
                tls: reader.u64(),
                positions: [reader.u64(), reader.u64()],
                stand_in: [reader.u64(), reader.u64()],
                flags: reader.u8(),
                reserved: reader.take(),
            }),
            kind::END => Self::End(End {
                header,
                position: reader.u64(),
                direction: reader.u8(),
                reserved: reader.take(),
            }),
            kind::UNIX => {
                let unix = Unix {
                    header,
                    peer_inode: reader.u64(),
                    lens: [reader.u32(), reader.u32()],
                    names: [reader.take(), reader.take()],
                };
                if unix.lens.iter().any(|len| *len as usize > UNIX_NAME) {
                    return Err(Malformed::Length);
                }
                Self::Unix(unix)
            }
            kind::EXEC => Self::Exec(exec(header, &mut reader)),
            kind::HELD => Self::Held(exec(header, &mut reader)),
            _ => Self::Close(Close {
                header,
                positions: [reader.u64(), reader.u64()],
                lost: [reader.u64(), reader.u64()],
                reason: reader.u8(),
                flags: reader.u8(),
                reserved: reader.take(),
            }),
        })
    }
}

fn header(reader: &mut Reader<'_>) -> Header {
    Header {
        magic: reader.u32(),
        version: reader.u16(),
        kind: reader.u16(),
        len: reader.u32(),
        reserved: reader.u32(),
        sk: reader.u64(),
        inode: reader.u64(),
        time: reader.u64(),
    }
}

fn open(header: Header, reader: &mut Reader<'_>) -> Open {
    Open {
        header,
        cgroup_id: reader.u64(),
        task_started: reader.u64(),
        positions: [reader.u64(), reader.u64()],
        local: reader.take(),
        remote: reader.take(),
        comm: reader.take(),
        local_port: reader.u16(),
        remote_port: reader.u16(),
        family: reader.u16(),
        role: reader.u8(),
        flags: reader.u8(),
        network_namespace: reader.u32(),
        tgid: reader.u32(),
        image: reader.u64(),
    }
}

fn exec(header: Header, reader: &mut Reader<'_>) -> Exec {
    Exec {
        header,
        task_started: reader.u64(),
        image: reader.u64(),
        comm: reader.take(),
        tgid: reader.u32(),
        reserved: reader.u32(),
    }
}

fn data(header: Header, reader: &mut Reader<'_>) -> Data {
    Data {
        header,
        entry: reader.u64(),
        position: reader.u64(),
        bytes: reader.u64(),
        tls: reader.u64(),
        captured: reader.u32(),
        tgid: reader.u32(),
        tid: reader.u32(),
        flags: reader.u32(),
        direction: reader.u8(),
        layer: reader.u8(),
        call: reader.u8(),
        missing: reader.u8(),
        reserved: reader.u32(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(kind: u16, len: u32, total: usize) -> [u8; 256] {
        let mut bytes = [0; 256];
        bytes[..4].copy_from_slice(&MAGIC.to_ne_bytes());
        bytes[4..6].copy_from_slice(&VERSION.to_ne_bytes());
        bytes[6..8].copy_from_slice(&kind.to_ne_bytes());
        bytes[8..12].copy_from_slice(&len.to_ne_bytes());
        assert!(total <= 256);
        bytes
    }

    #[test]
    fn a_record_cut_anywhere_is_refused() {
        let full = bytes(kind::OPEN, size_of::<Open>() as u32, 256);
        for len in 0..size_of::<Open>() {
            assert!(Record::parse(&full[..len]).is_err(), "{len}");
        }
        assert!(Record::parse(&full[..size_of::<Open>()]).is_ok());
    }

    #[test]
    fn lengths_that_contradict_each_other_are_refused() {
        let mut data = bytes(kind::DATA, 100, 256);
        assert_eq!(
            Record::parse(&data),
            Err(Malformed::Length),
            "captured is 0, payload 4"
        );
        data[72..76].copy_from_slice(&4u32.to_ne_bytes());
        assert_eq!(
            Record::parse(&data),
            Err(Malformed::Length),
            "captured more than passed"
        );
        data[56..64].copy_from_slice(&4u64.to_ne_bytes());
        assert!(matches!(Record::parse(&data), Ok(Record::Data(_, payload)) if payload.len() == 4));
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert_eq!(Record::parse(&[]), Err(Malformed::Short));
        assert_eq!(Record::parse(&[0; 64]), Err(Malformed::Magic(0)));
        assert_eq!(Record::parse(&bytes(99, 64, 256)), Err(Malformed::Kind(99)));
    }
}
