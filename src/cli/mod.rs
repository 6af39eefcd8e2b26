//! The command line: parses arguments, calls what does the work, turns the result into text and an exit code.
//!
//! Exit codes: 0 done, 1 failed at run time, 2 wrong usage or configuration. What answers a question goes to standard
//! output, everything about failure to standard error. The environment is read here and passed down as values.

mod cgroup;
mod check;
mod convert;
mod credential_provider;
mod docker_credential;
mod doctor;
mod documents;
mod hosts;
#[cfg(any(test, fuzzing))]
pub(crate) mod invariants;
mod login;
mod output;
mod policy;
mod process;
mod pull;
mod serve;
mod service_manager;
mod usage;
mod version;
mod vigil;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{DEFAULT_PATH, Environment, Overlay, address};
use crate::telemetry::logs;

/// Pulls images of other accounts' ACR instances through this node.
///
/// A registry mirror for containerd: it obtains short-lived logins through a role chain, follows blob redirects itself,
/// and leaves no Secret in the cluster.
#[derive(Debug, Parser)]
#[command(
    name = "acr-pull-proxy",
    version = version::SHORT,
    arg_required_else_help = true,
    after_help = "Examples:\n  \
        acr-pull-proxy check --config ./config.yaml\n  \
        acr-pull-proxy serve --config ./config.yaml --log-format text\n\n\
        Exit codes: 0 done, 1 failed at run time, 2 wrong usage or configuration."
)]
struct Cli {
    #[command(flatten)]
    everywhere: Everywhere,
    #[command(subcommand)]
    command: Command,
}

/// What may be said of every command, before it or behind it.
#[derive(Debug, Args)]
struct Everywhere {
    /// Our YAML file, a file with the ConfigMap acr-configuration, or a directory where that is mounted.
    #[arg(long, global = true, value_name = "PATH", env = "ACR_PULL_PROXY_CONFIG", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// The form of an answer, or of the failure in its place.
    #[arg(long, global = true, value_enum, value_name = "FORM", env = output::VARIABLE, default_value_t)]
    output: Form,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon.
    Serve {
        #[command(flatten)]
        settings: Settings,
        /// Where root of this node asks for logins (`credential-provider`); its directory must be there.
        #[arg(long, value_name = "PATH", env = login::SOCKET_VARIABLE, default_value = crate::logins::SOCKET)]
        login_socket: PathBuf,
        #[command(flatten)]
        place: hosts::Place,
    },
    /// Report everything that is wrong with the configuration, and print it as it takes effect; offline.
    Check(Settings),
    /// Send containerd's pulls of the served domains to the daemon, or no longer.
    Hosts(hosts::Arguments),
    /// Walk the way of a pull step by step, and say of each step how it went and, where it failed, who must do what.
    Doctor {
        #[command(flatten)]
        questions: doctor::Questions,
        #[command(flatten)]
        settings: Settings,
    },
    /// Pull a whole image through the running daemon, verify every digest, and keep nothing.
    Pull {
        /// The image, as a pod names it.
        #[arg(value_name = "REF")]
        image: String,
        #[command(flatten)]
        through: pull::Through,
        #[command(flatten)]
        settings: Settings,
    },
    /// Print the trust policies and permission policies that the configuration needs, ready to paste; offline.
    Policy {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        account: policy::ServiceAccount,
    },
    /// Print our configuration for an acr-configuration, and name every key of it that has no effect here; offline.
    ///
    /// It takes the managed add-on's JSON as well.
    Convert,
    /// Answer the kubelet, which runs this as an image credential provider, on standard input and output.
    CredentialProvider(login::Way),
    /// Answer docker, podman and skopeo, which run this as docker-credential-acr-pull-proxy.
    #[command(hide = true)]
    DockerCredential {
        /// What is to be done.
        action: docker_credential::Action,
        #[command(flatten)]
        way: login::Way,
    },
    /// Print version, commit and build target.
    Version,
    /// Print completions for a shell; for packages.
    #[command(hide = true)]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page; for packages.
    #[command(hide = true)]
    Man,
}

/// Flags that stand over the configuration; each beats its environment variable, which beats the file.
#[derive(Debug, Args)]
struct Settings {
    /// Where pulls come in.
    #[arg(long, value_name = "ADDRESS:PORT", env = "ACR_PULL_PROXY_LISTEN", value_parser = address)]
    listen: Option<SocketAddr>,
    /// Where metrics, health and the status page are.
    #[arg(long, value_name = "ADDRESS:PORT", env = "ACR_PULL_PROXY_ADMIN", value_parser = address)]
    admin: Option<SocketAddr>,
    /// The least important level that is logged: error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", env = "ACR_PULL_PROXY_LOG_LEVEL")]
    log_level: Option<logs::Level>,
    /// The form of the log: json or text [default: text on a terminal].
    #[arg(long, value_name = "FORMAT", env = "ACR_PULL_PROXY_LOG_FORMAT")]
    log_format: Option<logs::Format>,
}

impl Settings {
    fn overlay(&self) -> Overlay {
        Overlay { listen: self.listen, admin: self.admin, log_level: self.log_level, log_format: self.log_format }
    }
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Form {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Runs the command that `arguments` name, the program's own name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    process::keep_memory_private();
    let environment = Environment::of_process();
    let arguments = docker_credential::by_name(arguments);
    match usage::parse(&arguments, &environment) {
        Ok(Cli { everywhere: Everywhere { config, output }, command }) => {
            // Where the callers define what is said, they define how a failure is said, too.
            let form = if command.speaks_a_protocol() { Form::Text } else { output };
            match command.run(&config, environment, output) {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => failure.report(form),
            }
        }
        Err(code) => code,
    }
}

impl Command {
    /// Whether standard output belongs to a protocol of others.
    const fn speaks_a_protocol(&self) -> bool {
        matches!(self, Self::CredentialProvider(_) | Self::DockerCredential { .. })
    }

    fn run(self, config: &Path, environment: Environment, form: Form) -> Result<(), output::Failure> {
        match self {
            Self::Serve { settings, login_socket, place } => {
                serve::run(config, environment, settings.overlay(), login_socket, place.lookup(None))
            }
            Self::Check(settings) => check::run(config, &environment, &settings.overlay(), form),
            Self::Hosts(arguments) => hosts::run(arguments, config, &environment, form),
            Self::Doctor { questions, settings } => {
                doctor::run(config, &environment, &settings.overlay(), &questions, form)
            }
            Self::Pull { image, through, settings } => {
                let configured = || pull::settings(config, &environment, &settings.overlay());
                pull::run(&image, &through, configured, form)
            }
            Self::Policy { settings, account } => {
                policy::run(config, &environment, &settings.overlay(), &account, form)
            }
            Self::Convert => convert::run(config, form),
            Self::CredentialProvider(way) => credential_provider::run(&way, config, &environment),
            Self::DockerCredential { action, way } => docker_credential::run(action, &way, config, &environment),
            Self::Version => version::run(form),
            Self::Completions { shell } => documents::completions(shell),
            Self::Man => documents::manual(),
        }
    }
}

/// The runtime of a command that asks a few questions and ends; must not be called within another.
fn runtime() -> Result<tokio::runtime::Runtime, output::Failure> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| output::Failure::runtime(format!("no runtime can be started: {error}"), "check ulimit -n"))
}
