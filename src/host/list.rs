//! Sets of cores as the kernel writes them: lists (`0-3,8`) and masks (`ff,00000001`).

/// Cores are numbered below this; a longer list is cut.
const CORES_MAX: usize = 8_192;

/// `0-3,8` as numbers, ascending. What is no number is passed over: `isolcpus` may begin with words.
pub(super) fn parse(text: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        Some(first..=last.min(CORES_MAX - 1))
    };
    let mut cores: Vec<_> = text.split(',').filter_map(range).flatten().collect();
    cores.sort_unstable();
    cores.dedup();
    cores
}

/// A hexadecimal mask as numbers, ascending.
pub(super) fn parse_mask(text: &str) -> Vec<usize> {
    let digits = text.bytes().rev().filter_map(|digit| char::from(digit).to_digit(16));
    let bits = |(at, digit): (usize, u32)| (0..4).filter(move |bit| digit >> bit & 1 == 1).map(move |bit| at * 4 + bit);
    digits.enumerate().flat_map(bits).collect()
}

/// `0-3,8`.
pub(super) fn show(cores: &[usize]) -> String {
    let mut cores = cores.to_vec();
    cores.sort_unstable();
    cores.dedup();
    let runs = cores.chunk_by(|a, b| a + 1 == *b);
    let text = |run: &[usize]| match run {
        [one] => one.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    };
    runs.map(text).collect::<Vec<_>>().join(",")
}

/// `ff,00000001`: groups of 32 bits, as `rps_cpus` takes them.
pub(super) fn mask(cores: &[usize]) -> String {
    let groups = cores.iter().max().map_or(1, |most| most / 32 + 1);
    let word =
        |group: usize| cores.iter().filter(|core| *core / 32 == group).fold(0u32, |word, core| word | 1 << (core % 32));
    let lower = (0..groups - 1).rev().map(|group| format!(",{:08x}", word(group)));
    format!("{:x}", word(groups - 1)) + &lower.collect::<String>()
}

/// Those of `cores` that are not in `without`.
pub(super) fn less(cores: &[usize], without: &[usize]) -> Vec<usize> {
    cores.iter().copied().filter(|core| !without.contains(core)).collect()
}

/// As `shards` in the config takes them: `[0, 1]`.
pub(super) fn shards(cores: &[usize]) -> String {
    format!("shards = {cores:?} in the config")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_masks_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse("0-3,8"), [0, 1, 2, 3, 8]);
        assert_eq!(parse("managed_irq,domain,2-3"), [2, 3]);
        assert_eq!(parse(""), [0; 0]);
        assert_eq!(parse("0-99999999999").len(), CORES_MAX);
        assert_eq!(parse_mask("b"), [0, 1, 3]);
        assert_eq!(parse_mask("1,00000002"), [1, 32]);
        assert_eq!(parse_mask("00000000,00000000"), [0; 0]);
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for cores in [vec![0], vec![0, 1, 2, 5, 7, 8], vec![1, 31, 32, 65]] {
            assert_eq!(parse(&show(&cores)), cores);
            assert_eq!(parse_mask(&mask(&cores)), cores);
        }
        assert_eq!(show(&[3, 1, 2, 9]), "1-3,9");
        assert_eq!(mask(&[0, 33]), "2,00000001");
    }
}
