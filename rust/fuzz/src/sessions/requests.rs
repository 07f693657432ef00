//! What users ask.

use super::super::input::Input;
use super::world::{path, World};
use std::time::Duration;
use zk_proto::op::{AddWatchMode, Create, CreateMode, MultiOp, ReadOp, Request, WatcherType};
use zk_proto::record::Acl;

pub(super) fn submit(world: &mut World, input: &mut Input<'_>) {
    let acl = [Acl { perms: 31, scheme: b"world".to_vec(), id: b"anyone".to_vec() }];
    let which = input.byte();
    let path = path(input);
    let flags = input.byte();
    let watch = flags & 1 != 0;
    let data = (flags & 2 != 0).then(|| input.string());
    let watcher = watch.then_some(u64::from(flags >> 6));
    let within = match (flags >> 2) % 6 {
        0 | 1 => None,
        2 => Some(Duration::ZERO),
        3 => Some(Duration::from_millis(20)),
        4 => Some(Duration::from_secs(2)),
        _ => Some(Duration::MAX),
    };
    let version = -1;
    let mode = match flags >> 5 {
        0 | 1 => CreateMode::Persistent,
        2 => CreateMode::EphemeralSequential,
        3 => CreateMode::Container,
        _ => CreateMode::PersistentWithTtl(1),
    };
    let create = Create { path, data, acl: &acl, mode, with_stat: watch };
    let writes = [
        MultiOp::Delete { path, version },
        MultiOp::Check { path, version },
        MultiOp::Create(create),
        MultiOp::SetData { path, data, version },
    ];
    let reads = [ReadOp::GetData { path }, ReadOp::GetChildren { path }];
    let request = match which % 22 {
        0 => Request::GetData { path, watch },
        1 => Request::Exists { path, watch },
        2 => Request::GetChildren { path, watch },
        3 => Request::GetChildren2 { path, watch },
        4 => Request::SetData { path, data, version },
        5 => Request::Create(create),
        6 => Request::Delete { path, version },
        7 => Request::GetAcl { path },
        8 => Request::SetAcl { path, acl: &acl, version },
        9 => Request::Sync { path },
        10 => Request::Multi(&writes[..usize::from(flags >> 6)]),
        11 => Request::Multi(&writes),
        12 => Request::MultiRead(&reads[..usize::from(flags >> 7)]),
        13 => Request::MultiRead(&reads),
        14 => Request::GetEphemerals { prefix: path },
        15 => Request::GetAllChildrenNumber { path },
        16 => Request::WhoAmI,
        17 => Request::AddWatch { path, mode: AddWatchMode::Persistent },
        18 => Request::AddWatch { path, mode: AddWatchMode::PersistentRecursive },
        19 => Request::RemoveWatches { path, kind: WatcherType::Any, local: false },
        20 => Request::GetConfig { watch },
        _ => Request::Reconfig { joining: data, leaving: None, members: None, config_version: -1 },
    };
    let waits = which < 132;
    world.submit(&request, watcher, within, waits);
}

pub(super) fn authenticate(world: &mut World, input: &mut Input<'_>) {
    let credentials = input.string();
    let which = input.byte();
    let watcher = [Some(1), None, Some(2)][usize::from(which % 3)];
    match which >> 6 {
        0 | 1 => world.add_auth(credentials, watcher),
        2 => world.authenticate(credentials, watcher, None),
        _ => world.authenticate(credentials, watcher, Some(Duration::from_millis(which.into()))),
    }
}
