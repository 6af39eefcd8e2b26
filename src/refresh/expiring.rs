//! A value with the time it was issued and the time it dies. Pure.

use std::time::Duration;

use crate::clock::{Timestamp, until};

/// A value that is good until a known time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiring<T> {
    /// The value itself.
    pub value: T,
    /// When it began to be good.
    pub issued: Timestamp,
    /// When it stops being good; [`Timestamp::MAX`] where it never does.
    pub expires: Timestamp,
}

impl<T> Expiring<T> {
    /// A value that never dies by itself.
    #[must_use]
    pub const fn lasting(value: T, issued: Timestamp) -> Self {
        Self { value, issued, expires: Timestamp::MAX }
    }

    /// How long it is good in all.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        until(self.issued, self.expires)
    }

    /// Whether it is still in the first half of its life, so that something bought with it will last.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.expires == Timestamp::MAX || until(now, self.expires) > self.lifetime() / 2
    }

    /// Whether it is still good at `until`, the end of what it is needed for.
    #[must_use]
    pub fn is_usable(&self, until: Timestamp) -> bool {
        until < self.expires
    }

    /// The same value, dying no later than what it was bought with.
    ///
    /// A registry login dies with the session that asked for it, whatever its own answer says (`GetAuthorizationToken`).
    #[must_use]
    pub fn bounded_by(self, parent: Timestamp) -> Self {
        Self { expires: self.expires.min(parent), ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Expiring;
    use crate::clock::{Timestamp, later};

    fn hour() -> Expiring<()> {
        let issued = Timestamp::UNIX_EPOCH;
        Expiring { value: (), issued, expires: later(issued, Duration::from_secs(3600)) }
    }

    #[test]
    fn fresh_is_the_first_half_and_usable_is_all_of_it() {
        let at = |seconds| later(Timestamp::UNIX_EPOCH, Duration::from_secs(seconds));
        assert!(hour().is_fresh(at(1799)) && !hour().is_fresh(at(1800)));
        assert!(hour().is_usable(at(3599)) && !hour().is_usable(at(3600)));
    }

    #[test]
    fn a_child_dies_with_its_parent_but_never_lives_longer_for_it() {
        let parent = later(Timestamp::UNIX_EPOCH, Duration::from_secs(900));
        assert_eq!(hour().bounded_by(parent).lifetime(), Duration::from_secs(900));
        assert_eq!(hour().bounded_by(Timestamp::MAX), hour());
    }

    #[test]
    fn what_never_dies_is_always_fresh() {
        assert!(Expiring::lasting((), Timestamp::UNIX_EPOCH).is_fresh(later(Timestamp::MAX, Duration::ZERO)));
    }
}
