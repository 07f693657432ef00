//! What script/races runs.

use std::process::ExitCode;
use std::time::Duration;
use zk_races::{check, model, models, replay, Effort, Model};

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(words) => {
            eprintln!("{words}");
            ExitCode::from(2)
        }
    }
}

/// `list`, `mutant MUTANT MODEL SCHEDULES`, `replay MUTANT|- MODEL FILE`, or `check SECONDS SEED DIRECTORY MODEL...`: false if something broke.
fn run(args: Vec<String>) -> Result<bool, String> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["list"] => {
            models().for_each(|(name, _)| println!("{name}"));
            Ok(true)
        }
        ["replay", mutant, name, file] => {
            let mutant = (mutant != "-").then_some(mutant);
            let model = model(mutant, name).ok_or_else(|| format!("there is no model {name}"))?;
            let schedule = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
            let outcome = replay(model, &schedule);
            println!(
                "{}",
                outcome.as_ref().map_or_else(|words| format!("BROKEN: {words}"), |()| "holds".into())
            );
            Ok(outcome.is_ok())
        }
        // A mutant under another model, for whoever writes one.
        ["mutant", mutant, name, schedules] => {
            let model = model(Some(mutant), name).ok_or_else(|| format!("there is no model {name}"))?;
            let schedules = schedules.parse().map_err(|_| format!("{schedules} is no number"))?;
            let effort = Effort { seed: 1, schedules, span: Duration::from_secs(3_600), keep: None };
            Ok(check_all(&[(name, model)], &effort))
        }
        ["check", seconds, seed, directory, ref names @ ..] => {
            let number = |text: &str| text.parse().map_err(|_| format!("{text} is no number"));
            let wanted: Vec<(&str, Model)> =
                models().filter(|(name, _)| names.is_empty() || names.contains(name)).collect();
            let effort = Effort {
                seed: number(seed)?,
                schedules: usize::MAX,
                span: Duration::from_secs(number(seconds)?),
                keep: Some(directory.into()),
            };
            Ok(check_all(&wanted, &effort))
        }
        _ => Err("see script/races --help".into()),
    }
}

fn check_all(wanted: &[(&str, Model)], effort: &Effort) -> bool {
    let mut held = true;
    for (name, model) in wanted {
        match check(*model, effort) {
            Ok(count) => println!("{name}: holds in {count} schedules"),
            Err(words) => {
                held = false;
                println!("{name}: BROKEN: {words}");
            }
        }
    }
    held
}
