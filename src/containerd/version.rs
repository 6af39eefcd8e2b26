//! The version of containerd, as far as it decides what may stand in a `hosts.toml`.

use std::fmt;

use serde::{Serialize, Serializer};

/// `major.minor.patch` of a containerd; distribution suffixes are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 1 or 2.
    pub major: u32,
    /// The release line.
    pub minor: u32,
    /// The patch release.
    pub patch: u32,
}

impl Version {
    /// Reads what `containerd --version` prints: `containerd <module> <version> <commit>`.
    #[must_use]
    pub fn of_output(output: &str) -> Option<Self> {
        output.split_whitespace().skip(1).find_map(Self::parse)
    }

    /// Reads `v2.1.4`, `1.6.20~ds1`, `2.2.0-rc.1`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix('v').unwrap_or(text).splitn(3, '.');
        let (major, minor, rest) = (parts.next()?, parts.next()?, parts.next()?);
        let patch = rest.split(|byte: char| !byte.is_ascii_digit()).next()?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()?, patch: patch.parse().ok()? })
    }

    const fn at_least(self, major: u32, minor: u32) -> bool {
        self.major > major || (self.major == major && self.minor >= minor)
    }

    /// Whether `dial_timeout` may be written. Versions before 2.0.7 do not know the key, and 2.0.7 to 2.0.11 try TLS
    /// first on every host that has it (`explicitTLS` in containerd's `hosts.go`), which costs a connection per pull.
    #[must_use]
    pub const fn honours_dial_timeout(self) -> bool {
        self.at_least(2, 1)
    }

    /// Whether the CRI plugin can pull through the transfer service, which takes `config_path` as one directory.
    #[must_use]
    pub const fn has_transfer_pulls(self) -> bool {
        self.at_least(2, 1)
    }

    /// Whether `config_path` has a value where no file gives it one.
    #[must_use]
    pub const fn has_default_paths(self) -> bool {
        self.at_least(2, 2)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn every_form_of_the_version_is_read() {
        let read = |text: &str| Version::of_output(text).map(|version| version.to_string());
        for (output, version) in [
            ("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3", "1.6.20"),
            ("containerd github.com/containerd/containerd v1.7.24 88bf19b2105c8b17560993bee28a01ddc2f97182", "1.7.24"),
            ("containerd github.com/containerd/containerd/v2 v2.2.0-rc.1 d8f4f9f2b1c5", "2.2.0"),
            ("containerd containerd.io 2.1.5 fcd43222d6b07379a4be9786bda52438f0dd16a1\n", "2.1.5"),
        ] {
            assert_eq!(read(output).as_deref(), Some(version), "{output}");
        }
        assert_eq!(read("command not found"), None);
    }

    #[test]
    fn a_dial_timeout_is_written_only_where_it_means_a_dial_timeout() {
        for (version, safe) in [
            ("1.6.20", false),
            ("1.7.32", false),
            ("2.0.7", false),
            ("2.0.11", false),
            ("2.1.0", true),
            ("3.0.0", true),
        ] {
            assert_eq!(Version::parse(version).unwrap().honours_dial_timeout(), safe, "{version}");
        }
    }
}
