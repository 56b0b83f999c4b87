//! Counters: plain numbers that their owner adds to and others get copies of.

/// Defines a struct of `u64` counters with their names and an array view, so that they can be published, summed and printed
/// without being listed again.
macro_rules! counters {
    ($(#[$doc:meta])* $vis:vis struct $name:ident { $($(#[doc = $help:literal])* $field:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        $vis struct $name { $($(#[doc = $help])* pub $field: u64,)* }

        impl $name {
            /// How many counters there are.
            pub const COUNT: usize = [$(stringify!($field)),*].len();
            /// Their names, in the order of [`Self::as_array`].
            pub const NAMES: [&str; Self::COUNT] = [$(stringify!($field)),*];

            /// What each counts, in the same order.
            pub const HELP: [&str; Self::COUNT] = [$(concat!($($help),*).trim_ascii()),*];

            /// Their values.
            #[must_use]
            pub const fn as_array(&self) -> [u64; Self::COUNT] {
                [$(self.$field),*]
            }

            /// The counters with these values.
            #[must_use]
            pub const fn from_array(values: [u64; Self::COUNT]) -> Self {
                let [$($field),*] = values;
                Self { $($field),* }
            }
        }
    };
}

pub(crate) use counters;

#[cfg(test)]
#[allow(unreachable_pub)]
mod tests {
    counters! {
        /// Two counters.
        struct Two {
            /// The first.
            first,
            /// The second.
            second,
        }
    }

    #[test]
    fn names_and_values_stand_in_the_same_order() {
        let two = Two { first: 1, second: 2 };
        assert_eq!(Two::NAMES, ["first", "second"]);
        assert_eq!(Two::HELP, ["The first.", "The second."]);
        assert_eq!(Two::from_array(two.as_array()), two);
        assert_eq!(two.as_array(), [1, 2]);
    }
}
