//! Signatures: what a packet looks like in the syntax of `tcpdump`, compiled by it to classic BPF over a packet from its IP
//! header on.

use std::process::Command;

use shm::limits::PROGRAM_MAX;
use shm::message::Instruction;

/// Octets of an expression.
const EXPRESSION_LEN_MAX: usize = 4096;

/// Compiles an expression, or says what is wrong with it.
pub fn compile(expression: &str) -> Result<Vec<Instruction>, String> {
    if expression.trim().is_empty() {
        return Err("says nothing; write what a packet looks like".to_owned());
    }
    if expression.len() > EXPRESSION_LEN_MAX || expression.contains('\0') {
        return Err(format!("is no text of at most {EXPRESSION_LEN_MAX} octets; split it"));
    }
    let arguments = ["-y", "RAW", "-ddd", "--", expression];
    let output = Command::new("tcpdump").args(arguments).output().map_err(|error| {
        format!("cannot be compiled, for tcpdump does not run ({error}); install tcpdump")
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().last().unwrap_or_default().trim_start_matches("tcpdump: ");
        return Err(format!("\"{expression}\" does not compile: {said}"));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let program: Option<Vec<Instruction>> = text.lines().skip(1).map(instruction).collect();
    let program = program.ok_or("tcpdump has printed no program; use its version 4.99 or later")?;
    let len = program.len();
    if len > PROGRAM_MAX {
        return Err(format!("takes {len} instructions, and {PROGRAM_MAX} are taken; split it"));
    }
    Ok(program)
}

fn instruction(line: &str) -> Option<Instruction> {
    let mut words = line.split_ascii_whitespace();
    let mut next = || words.next()?.parse::<u32>().ok();
    let (code, jt, jf, k) = (next()?, next()?, next()?, next()?);
    let (code, jt, jf) = (code.try_into().ok()?, jt.try_into().ok()?, jf.try_into().ok()?);
    Some(Instruction { code, jt, jf, k })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tcpdump_understands_is_compiled_and_else_its_words_are_told() {
        let program = compile("udp and src port 123 and greater 400").unwrap();
        assert!((5..60).contains(&program.len()), "{program:?}");
        let wrong = compile("udp and frobnicate").unwrap_err();
        assert!(wrong.starts_with("\"udp and frobnicate\" does not compile: "), "{wrong}");
        assert!(compile("  ").unwrap_err().starts_with("says nothing"));
    }
}
