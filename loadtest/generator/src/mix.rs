//! Kinds of calls, and how often each is made.

use core::str::FromStr;

/// What a call is to become. The letter stands in its Call-ID: by it the callee knows what to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// INVITE, 180, 200, ACK, BYE, 200.
    Ok,
    /// The callee answers 486.
    Busy,
    /// The caller gives up when it rings: CANCEL, 200, 487.
    Cancel,
    /// The first destination answers 503; the next one takes the call.
    Unavailable,
    /// As [`Kind::Ok`] with an INVITE inside the dialog before the BYE.
    Reinvite,
    /// Set up and left open.
    Held,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [(Self, u8, &'static str); 6] = [
        (Self::Ok, b'o', "ok"),
        (Self::Busy, b'b', "busy"),
        (Self::Cancel, b'c', "cancel"),
        (Self::Unavailable, b'u', "unavailable"),
        (Self::Reinvite, b'r', "reinvite"),
        (Self::Held, b'h', "held"),
    ];

    /// Its letter.
    pub(crate) const fn letter(self) -> u8 {
        Self::ALL[self as usize].1
    }

    /// Its name on the command line and in reports.
    pub(crate) const fn name(self) -> &'static str {
        Self::ALL[self as usize].2
    }

    /// The kind with this letter.
    pub(crate) fn of_letter(letter: u8) -> Option<Self> {
        Self::ALL.iter().find(|(_, of, _)| *of == letter).map(|(kind, ..)| *kind)
    }

    /// The status that ends its INVITE.
    pub(crate) const fn expected_status(self) -> u16 {
        match self {
            Self::Busy => 486,
            Self::Cancel => 487,
            Self::Ok | Self::Unavailable | Self::Reinvite | Self::Held => 200,
        }
    }
}

/// Parts of each kind, like `ok=90,busy=5`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mix {
    parts: Vec<(Kind, u64)>,
    total: u64,
}

impl Mix {
    /// The kind for a random number.
    pub(crate) fn pick(&self, random: u64) -> Kind {
        // All calls of one kind are the common case.
        let mut left = if self.parts.len() == 1 { 0 } else { random % self.total };
        for (kind, part) in &self.parts {
            match left.checked_sub(*part) {
                None => return *kind,
                Some(rest) => left = rest,
            }
        }
        Kind::Ok
    }

    /// Whether calls of this kind are made.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.parts.iter().any(|(of, _)| *of == kind)
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        for word in text.split(',') {
            let (name, part) = word.split_once('=').ok_or_else(|| format!("`{word}` is not KIND=PARTS"))?;
            let known = Kind::ALL.iter().find(|(kind, _, of)| *of == name && *kind != Kind::Held);
            let (kind, ..) = known
                .ok_or_else(|| format!("`{name}` is no kind of call: ok, busy, cancel, unavailable or reinvite"))?;
            let part: u32 = part.parse().map_err(|error| format!("`{word}`: {error}"))?;
            if part > 0 {
                parts.push((*kind, u64::from(part)));
            }
        }
        let total = parts.iter().map(|(_, part)| part).sum();
        if total == 0 { Err("no kind has a part above 0".into()) } else { Ok(Self { parts, total }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_made_in_their_parts() {
        let mix: Mix = "ok=7,busy=2,cancel=1,reinvite=0".parse().unwrap();
        let count = |kind| (0..1000).filter(|n| mix.pick(*n) == kind).count();
        assert_eq!((count(Kind::Ok), count(Kind::Busy), count(Kind::Cancel)), (700, 200, 100));
        assert!(mix.has(Kind::Busy) && !mix.has(Kind::Reinvite));
    }

    #[test]
    fn a_mix_that_makes_no_calls_or_unknown_ones_is_refused() {
        for text in ["", "ok", "ok=x", "ok=0", "held=1", "fine=1"] {
            assert!(text.parse::<Mix>().is_err(), "{text}");
        }
    }

    #[test]
    fn letters_name_kinds() {
        assert!(
            Kind::ALL
                .iter()
                .all(|(kind, letter, _)| Kind::of_letter(*letter) == Some(*kind) && kind.letter() == *letter)
        );
        assert_eq!(Kind::of_letter(b'x'), None);
    }
}
