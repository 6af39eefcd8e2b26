//! How much memory the kernel lets this process have: the limits of its control group and of those above it, of either
//! version (cgroups(7)).

use std::fs;
use std::path::Path;

/// Where control groups are mounted, on the node and in a container.
const ROOT: &str = "/sys/fs/cgroup";

/// Beyond the first the kernel kills, beyond the second it slows down.
const SECOND_VERSION: [&str; 2] = ["memory.max", "memory.high"];
const FIRST_VERSION: [&str; 1] = ["memory.limit_in_bytes"];

/// The lowest limit in bytes; `None` where there is none, or none that can be read.
pub(super) fn memory_limit() -> Option<u64> {
    lowest(Path::new(ROOT), &fs::read_to_string("/proc/self/cgroup").ok()?)
}

fn lowest(root: &Path, groups: &str) -> Option<u64> {
    groups.lines().filter_map(|line| of_group(root, line)).min()
}

/// The lowest limit of one line of `/proc/self/cgroup`: hierarchy, controllers and path, with colons between.
fn of_group(root: &Path, line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, group) = (fields.next()?, fields.next()?, fields.next()?);
    let (mount, files) = match controllers {
        "" => (root.to_path_buf(), &SECOND_VERSION[..]),
        some if some.split(',').any(|controller| controller == "memory") => (root.join("memory"), &FIRST_VERSION[..]),
        _ => return None,
    };
    // In a container the mount is the container's own group, whose path leads nowhere there.
    let groups = Path::new(group.trim_start_matches('/')).ancestors();
    let files = groups.flat_map(|group| {
        let group = mount.join(group);
        files.iter().map(move |file| group.join(file))
    });
    // What has no limit says "max", or a number that no machine has.
    files.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::lowest;

    #[test]
    fn the_lowest_limit_of_all_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let limit = |groups| lowest(root.path(), groups);
        assert_eq!(limit("0::/\n"), None);
        write("system.slice/proxy.service/memory.max", "402653184\n");
        write("system.slice/proxy.service/memory.high", "max\n");
        write("system.slice/memory.max", "max\n");
        assert_eq!(limit("0::/system.slice/proxy.service\n"), Some(402_653_184));
        write("system.slice/proxy.service/memory.high", "268435456\n");
        assert_eq!(limit("0::/system.slice/proxy.service\n"), Some(268_435_456));
        write("system.slice/memory.max", "1048576\n");
        assert_eq!(limit("0::/system.slice/proxy.service\n"), Some(1_048_576));
        // A container of the first version sees its own group where the mount is.
        write("memory/memory.limit_in_bytes", "268435456\n");
        assert_eq!(limit("5:cpu,cpuacct:/kubepods/a\n4:memory:/kubepods/a\n"), Some(268_435_456));
    }
}
