use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[test]
fn a_buffer_takes_at_most_16_bytes() {
    assert!(size_of::<Buffer>() <= 16 && size_of::<Option<Buffer>>() <= 16);
}

#[test]
fn a_message_lies_in_the_smallest_class_that_holds_it() {
    for (len, class) in [
        (0, 256),
        (256, 256),
        (257, 384),
        (513, 640),
        (769, 1024),
        (1025, 1280),
        (1537, 2048),
        (2048, 2048),
        (2049, 4096),
        (4097, 16_384),
        (65_535, 65_536),
    ] {
        let mut buffers = Buffers::new(1 << 20);
        let message = vec![7; len];
        assert_eq!(*buffers.store(&message).unwrap(), message[..]);
        assert_eq!(buffers.in_use_bytes(), class);
    }
    assert!(Buffers::new(1 << 20).store(&[0; 65_536]).is_none());
}

#[test]
fn memory_given_back_is_used_again() {
    let mut buffers = Buffers::new(4096);
    let first = buffers.store(b"INVITE").unwrap();
    let address = first.as_ptr();
    buffers.give(first);
    assert_eq!(buffers.in_use_bytes(), 0);
    let second = buffers.store(b"BYE").unwrap();
    assert_eq!((second.as_ptr(), &*second), (address, &b"BYE"[..]));
    assert_eq!(buffers.in_use_bytes(), 256);
}

#[test]
fn a_full_pool_refuses_until_something_is_given_back() {
    let mut buffers = Buffers::new(512);
    let first = buffers.store(b"a").unwrap();
    let _second = buffers.store(b"b").unwrap();
    assert!(buffers.store(b"c").is_none());
    buffers.give(first);
    assert!(buffers.store(b"c").is_some());
}

#[test]
fn an_empty_span_of_one_class_becomes_another_ones() {
    let mut buffers = Buffers::new(64 * SPAN_BYTES);
    let small: Vec<_> = (0..60 * 256).map(|_| buffers.store(b"a").unwrap()).collect();
    let blocks = buffers.blocks.len();
    small.into_iter().for_each(|buffer| buffers.give(buffer));
    let _large: Vec<_> = (0..60).map(|_| buffers.store(&[1; 60_000]).unwrap()).collect();
    assert_eq!((buffers.blocks.len(), buffers.in_use_bytes()), (blocks, 60 * SPAN_BYTES));
}

#[test]
fn spans_that_hold_little_are_bounded_and_beyond_the_bound_a_message_is_refused() {
    let mut buffers = Buffers::new(64 * SPAN_BYTES);
    let mut small: Vec<_> = (0..64 * 256).map(|_| buffers.store(b"a").unwrap()).collect();
    // One of each span stays, so that no other class gets the span.
    for at in (0..small.len()).rev().filter(|at| at % 256 != 0) {
        buffers.give(small.swap_remove(at));
    }
    assert_eq!(buffers.in_use_bytes(), 64 * 256);
    let large: Vec<_> = core::iter::from_fn(|| buffers.store(&[1; 65_535])).take(100).collect();
    assert_eq!((large.len(), buffers.spans.len()), (64 / 8 + CLASS_BYTES.len(), 64 + 64 / 8 + CLASS_BYTES.len()));
    assert!(buffers.store(b"small ones go on").is_some());
}

#[test]
fn a_buffer_dropped_instead_of_given_back_stays_counted() {
    let mut buffers = Buffers::new(1024);
    let lost = buffers.store(b"a").unwrap();
    assert_eq!(lost.len(), 1);
    assert_eq!(buffers.in_use_bytes(), 256);
}

#[test]
fn replacing_within_a_class_keeps_the_memory() {
    let mut buffers = Buffers::new(512);
    let ringing = buffers.store(b"180").unwrap();
    let address = ringing.as_ptr();
    let ok = buffers.replace(ringing, b"200 OK").unwrap();
    assert_eq!((ok.as_ptr(), &*ok), (address, &b"200 OK"[..]));
}

#[test]
fn replacing_counts_the_old_bytes_as_free_and_keeps_the_old_on_failure() {
    let mut buffers = Buffers::new(1024);
    let old = buffers.store(b"180").unwrap();
    let new = buffers.replace(old, &[2; 1000]).unwrap();
    assert_eq!((new.len(), buffers.in_use_bytes()), (1000, 1024));
    let kept = buffers.replace(new, &[3; 1025]).unwrap_err();
    assert_eq!(*kept, [2; 1000]);
}

#[test]
fn the_debug_form_does_not_show_the_message() {
    let buffer = Buffers::new(512).store(b"sip:alice").unwrap();
    assert_eq!(format!("{buffer:?}"), "Buffer(9 bytes)");
}

#[derive(Clone, Debug)]
enum Op {
    Store(u8, usize),
    Give(usize),
    Replace(usize, u8, usize),
}

fn op() -> impl Strategy<Value = Op> {
    let len = || prop_oneof![0_usize..1100, 0_usize..5000, 0_usize..66_000];
    prop_oneof![
        (any::<u8>(), len()).prop_map(|(fill, len)| Op::Store(fill, len)),
        any::<usize>().prop_map(Op::Give),
        (any::<usize>(), any::<u8>(), len()).prop_map(|(which, fill, len)| Op::Replace(which, fill, len)),
    ]
}

/// What a message of this length must take of the pool, written apart from the code.
fn model_bytes(len: usize) -> usize {
    match len {
        0..=256 => 256,
        257..=768 => len.div_ceil(128) * 128,
        769..=1024 | 1537..=4096 => len.next_power_of_two(),
        1025..=1280 => 1280,
        1281..=1536 => 1536,
        4097..=16_384 => 16_384,
        _ => 65_536,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_history_keeps_every_message_and_the_bound(bytes_max in 0_usize..200_000, ops in vec(op(), 0..120)) {
        let mut buffers = Buffers::new(bytes_max);
        let mut stored: Vec<(Buffer, Vec<u8>)> = Vec::new();
        let in_use = |stored: &[(Buffer, Vec<u8>)]| stored.iter().map(|(_, m)| model_bytes(m.len())).sum::<usize>();
        for op in ops {
            match op {
                Op::Store(fill, len) => {
                    let message = vec![fill; len];
                    let fits = len <= 65_535 && in_use(&stored) + model_bytes(len) <= bytes_max;
                    let buffer = buffers.store(&message);
                    // So few messages never need more spans than there are.
                    prop_assert_eq!(buffer.is_some(), fits);
                    stored.extend(buffer.map(|buffer| (buffer, message)));
                }
                Op::Give(which) if !stored.is_empty() => {
                    buffers.give(stored.swap_remove(which % stored.len()).0);
                }
                Op::Replace(which, fill, len) if !stored.is_empty() => {
                    let (old, before) = stored.swap_remove(which % stored.len());
                    let fits = len <= 65_535 && in_use(&stored) + model_bytes(len) <= bytes_max;
                    let after = vec![fill; len];
                    let result = buffers.replace(old, &after);
                    prop_assert_eq!(result.is_ok(), fits);
                    stored.push(result.map_or_else(|old| (old, before), |new| (new, after)));
                }
                Op::Give(_) | Op::Replace(..) => {}
            }
            prop_assert_eq!(buffers.in_use_bytes(), in_use(&stored));
            prop_assert!(buffers.in_use_bytes() <= bytes_max);
            prop_assert!(stored.iter().all(|(buffer, message)| **buffer == message[..]));
            let of_spans: usize = buffers.spans.iter().map(|span| usize::from(span.in_use)).sum();
            prop_assert_eq!(of_spans, stored.len());
        }
    }
}
