//! Runs one target's check on very many inputs, in one process and without instrumentation: kept inputs, changed at
//! random.
//!
//!     many TARGET COUNT [SEED]
//!
//! What breaks a promise is written to `target/fuzz-failures`. Coverage guides nothing here; what libFuzzer found
//! before is where the changes begin.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use std::{env, fs};

use onward_fuzz::TARGETS;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

/// Bytes that decide something in many formats.
const INTERESTING: [u8; 12] = [0, 1, 4, 11, 12, 16, 41, 63, 64, 127, 192, 255];
/// Longest input, in bytes.
const LENGTH_MAX: usize = 1_024;
/// Maximum number of changes of one input.
const CHANGES_MAX: u32 = 4;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [name, count, seed @ ..] = &arguments[..] else { return Err("many TARGET COUNT [SEED]".into()) };
    let (name, check) = TARGETS.iter().find(|(known, _)| known == name).ok_or("no such target")?;
    let (count, seed): (u64, u64) = (count.parse()?, seed.first().map_or(Ok(1), |seed| seed.parse())?);
    let inputs = inputs(name)?;

    let (mut input, mut random) = (Vec::with_capacity(2 * LENGTH_MAX), StdRng::seed_from_u64(seed));
    let start = Instant::now();
    let checked = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..count {
            change(&inputs, &mut input, &mut random);
            check(&input);
        }
    }));
    if checked.is_err() {
        fs::create_dir_all("target/fuzz-failures")?;
        let file = format!("target/fuzz-failures/{name}-many-{seed}");
        fs::write(&file, &input)?;
        println!("{name}: {file}");
        return Ok(ExitCode::FAILURE);
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{name}: {count} runs from {} inputs in {seconds:.0} s, seed {seed}", inputs.len());
    Ok(ExitCode::SUCCESS)
}

/// The inputs that are kept, and those that runs of libFuzzer on this machine found.
fn inputs(name: &str) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut inputs = vec![];
    for folder in [Path::new("tests/fuzz/corpora").join(name), Path::new("target/fuzz-found").join(name)] {
        for file in fs::read_dir(folder).into_iter().flatten() {
            inputs.push(fs::read(file?.path())?);
        }
    }
    if inputs.is_empty() { Err("no corpus: run this where Cargo.lock is".into()) } else { Ok(inputs) }
}

/// Puts one of the inputs into `input`, with a few changes.
fn change(inputs: &[Vec<u8>], input: &mut Vec<u8>, random: &mut StdRng) {
    let pick = |random: &mut StdRng| &inputs[random.random_range(0..inputs.len())];
    input.clear();
    input.extend_from_slice(pick(random));
    for _ in 0..random.random_range(1..=CHANGES_MAX) {
        input.truncate(LENGTH_MAX);
        let word = random.next_u64();
        let [kind, value, which, low, high, ..] = word.to_le_bytes();
        let at = usize::from(u16::from_le_bytes([low, high])) % (input.len() + 1);
        match kind % 8 {
            0..=2 if at < input.len() => input[at] = value,
            3 if at < input.len() => input[at] ^= 1 << (value & 7),
            4 if at < input.len() => input[at] = INTERESTING[usize::from(which) % INTERESTING.len()],
            5 => input.insert(at, value),
            6 => input.truncate(at),
            _ => {
                let other = pick(random);
                let from = usize::from(value) % (other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }
}
