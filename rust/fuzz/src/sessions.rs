//! Whole lives of a session: a script of what users ask, what servers send, and how time passes.
//!
//! What must hold at every step is in `world`: requests are answered once, connections come at
//! their pace, timers do not spin, nothing is sent out of turn.

mod requests;
mod server;
mod world;

use super::input::Input;
use super::meter;
use std::time::Duration;
use world::{Link, World};
use zk_proto::connect_string::ConnectString;
use zk_proto::note::Level;
use zk_proto::session::Config;
use zk_proto::Code;

/// Input: the configuration, and then one operation after the other.
pub fn run(data: &[u8]) {
    let ((), used) = meter::peak(|| play(Input(data)));
    // A step of the script takes a byte at least and leaves a request, a watch or an answer at most.
    assert!(
        used <= (512 << 10) + (1 << 20) + 1024 * data.len(),
        "{used} bytes for a script of {}",
        data.len()
    );
}

fn play(mut input: Input<'_>) {
    let config = config(&mut input);
    // The one bit of the flags that means nothing else.
    let noted = config.seed & 32 != 0;
    let mut world = World::new(config, noted.then_some(Level::Trace));
    while !input.is_empty() {
        step(&mut world, &mut input);
    }
    finish(world, input);
}

fn config(input: &mut Input<'_>) -> Config {
    let first = input.byte();
    let hosts = ["a,b,c", "a", "a,b/app", "[::1]:1/n"][usize::from(first & 3)];
    let flags = input.byte();
    let timeouts = [3_000, 10, 30_000, 0].map(Duration::from_millis);
    Config {
        servers: ConnectString::parse(hosts.as_bytes()).expect("a connect string"),
        session_timeout: timeouts[usize::from(flags >> 6)],
        resume: (flags & 1 != 0).then_some((7, [7; 16])),
        read_only: flags & 2 != 0,
        request_timeout: (flags & 4 != 0).then_some(Duration::from_millis(700)),
        jute_maxbuffer: if flags & 8 != 0 { 100 } else { 0xf_ffff },
        max_in_flight: [10_000, 1, 2, 5][usize::from(first >> 6)],
        expire_by_clock: flags & 16 != 0,
        sasl: None,
        seed: flags.into(),
    }
}

/// One operation: its number, and what it takes.
fn step(world: &mut World, input: &mut Input<'_>) {
    match input.byte() % 26 {
        // Users.
        0 | 1 => requests::submit(world, input),
        2 => requests::authenticate(world, input),
        3 => world.abandon(input.byte().into()),
        4 => world.forget(input.byte() % 4),
        5 => world.close(),
        6 => world.end(input.choose(&[Code::INVALID_STATE, Code::SESSION_EXPIRED])),
        // Time, with every timer at its moment; to the next timer; or all at once, as it seems to a
        // process that was stopped.
        7 => world.pass(span(input)),
        8 => world.next_timer(),
        9 => world.stop_for(span(input)),
        // The network.
        10 => world.connected(),
        11 => world.lost(),
        12 => world.flush(input.byte().into()),
        13 => world.flush(usize::MAX),
        // A server that does what it should, in one step: most of a life is behind this.
        14 => server::accept(world),
        15 => server::handshake(world, input),
        16 | 17 => server::reply(world, input),
        18 => server::event(world, input),
        19 => server::auth_reply(world, input),
        // One that does not.
        20 => server::stray_reply(world, input),
        21 => server::raw_frame(world, input),
        22 => server::raw(world, input),
        // Servers that can write, and those that can't; other lists of servers.
        24 => world.probed(input.byte() & 1 != 0),
        25 => world.set_hosts(input.choose(&["a,b", "b,c,d,e", "a", "d,e/app", "a,b,c/app", "[::1]:1/n"])),
        // Calls out of turn: a driver with news of a connection that has gone.
        _ => world.out_of_turn(input.byte()),
    }
}

fn span(input: &mut Input<'_>) -> Duration {
    let unit = input.choose(&[1_000, 20_000, 300_000, 10_000_000, 1, 1 << 33]);
    Duration::from_micros(unit * u64::from(input.byte()))
}

/// However it ends, nobody is left without an answer.
fn finish(mut world: World, mut input: Input<'_>) {
    match input.byte() % 4 {
        _ if world.session.over().is_some() => {}
        0 => {}
        1 => {
            world.close();
            world.flush(usize::MAX);
            server::answer_all(&mut world);
        }
        2 => {
            world.close();
            if world.link != Link::Down {
                world.lost();
            }
        }
        _ => world.wait_for_all(),
    }
    if world.session.over().is_none() {
        world.end(Code::INVALID_STATE);
    }
    world.assert_all_answered();
}
