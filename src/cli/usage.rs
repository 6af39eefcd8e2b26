//! What the arguments mean, or what is wrong with them: wrong usage is told here and has exit code 2.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;
use std::str::FromStr;

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{Arg, Command, CommandFactory, FromArgMatches, ValueEnum};

use super::output::{self, Failure, VARIABLE};
use super::{Cli, Form};
use crate::config::Environment;

/// Parses the arguments, the program's own name first. Where they name no command to run, all is said, and the exit code
/// comes back.
pub(super) fn parse(arguments: &[OsString], environment: &Environment) -> Result<Cli, ExitCode> {
    let mut command = without_empty_variables(Cli::command(), environment);
    let matches = command.try_get_matches_from_mut(arguments);
    matches.and_then(|matches| Cli::from_arg_matches(&matches)).map_err(|error| {
        let error = with_variable(error.format(&mut command), &command, arguments);
        // Help and version were asked for and are no error; clap knows which stream each belongs to. Should that stream
        // be gone, there is nobody to tell.
        error.print().ok();
        if !error.use_stderr() {
            return ExitCode::SUCCESS;
        }
        if form(arguments, environment) == Form::Json {
            Failure::usage(sentence(&error), "see --help").answer();
        }
        ExitCode::from(output::WRONG_USAGE)
    })
}

/// Parses a whole number.
pub(super) fn number<T: FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse().map_err(|_| "it must be a whole number")
}

/// A variable that is empty says nothing, here as everywhere.
fn without_empty_variables(command: Command, environment: &Environment) -> Command {
    let is_empty = |name: &OsStr| name.to_str().is_some_and(|name| environment.is_empty(name));
    let command = command.mut_args(|arg| if arg.get_env().is_some_and(is_empty) { arg.env(None) } else { arg });
    command.mut_subcommands(|command| without_empty_variables(command, environment))
}

/// The error with the name of the variable that a wrong value comes from, where it stands in no argument.
fn with_variable(mut error: Error, command: &Command, arguments: &[OsString]) -> Error {
    let flag = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(shown)) => shown.split(' ').next().unwrap_or_default().to_owned(),
        _ => return error,
    };
    let is_argument = arguments.iter().any(|argument| argument.to_string_lossy().starts_with(&flag));
    if let Some(variable) =
        variable(command, &flag).filter(|_| !is_argument && error.kind() != ErrorKind::ArgumentConflict)
    {
        let tip = format!("it is the value of {variable} in the environment");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// The variable that stands for a flag.
fn variable(command: &Command, flag: &str) -> Option<String> {
    let is_meant = |arg: &&Arg| arg.get_long().is_some_and(|long| flag.strip_prefix("--") == Some(long));
    let here = command.get_arguments().find(is_meant).and_then(Arg::get_env);
    let here = here.map(|name| name.to_string_lossy().into_owned());
    here.or_else(|| command.get_subcommands().find_map(|command| variable(command, flag)))
}

/// The form that is asked for, as far as it can be seen among arguments that make no sense.
fn form(arguments: &[OsString], environment: &Environment) -> Form {
    let words: Vec<_> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let behind = words.iter().zip(words.iter().skip(1)).filter(|(flag, _)| **flag == "--output").map(|(_, word)| *word);
    let within = words.iter().filter_map(|word| word.strip_prefix("--output="));
    let said = behind.chain(within).last().or_else(|| environment.value(VARIABLE));
    said.and_then(|word| <Form as ValueEnum>::from_str(word, false).ok()).unwrap_or_default()
}

/// What clap says first, without its hints and its summary of the usage.
fn sentence(error: &Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "no command is named".to_owned();
    }
    let text = error.to_string();
    let lines = text.lines().take_while(|line| !line.is_empty()).map(str::trim);
    let sentence = lines.collect::<Vec<_>>().join(" ");
    sentence.strip_prefix("error: ").unwrap_or(&sentence).to_owned()
}

#[cfg(test)]
mod tests {
    use clap::{ArgAction, Command, CommandFactory};

    use super::Cli;

    fn check(command: &Command) {
        let flags = command.get_arguments().filter(|arg| arg.get_long().is_some());
        for flag in flags.filter(|arg| !matches!(arg.get_long(), Some("help" | "version"))) {
            let variable = flag.get_env().and_then(|name| name.to_str()).unwrap_or_default();
            assert!(variable.starts_with("ACR_PULL_PROXY_"), "{} of {}", flag.get_id(), command.get_name());
            if matches!(flag.get_action(), ArgAction::SetTrue) {
                let takes_a_digit = flag
                    .get_value_parser()
                    .possible_values()
                    .is_some_and(|mut words| words.any(|word| word.matches("1", false)));
                assert!(takes_a_digit, "{} takes no 1", flag.get_id());
            }
        }
        command.get_subcommands().for_each(check);
    }

    #[test]
    fn every_flag_has_a_variable_and_that_of_a_switch_takes_a_digit() {
        let mut command = Cli::command();
        command.build();
        check(&command);
    }
}
