//! Numbers of the operations. Source: `ZooDefs.OpCode` of Apache ZooKeeper.

/// Header of a watch event; never sent.
pub const NOTIFICATION: i32 = 0;
/// create; the reply is the path.
pub const CREATE: i32 = 1;
/// delete
pub const DELETE: i32 = 2;
/// exists
pub const EXISTS: i32 = 3;
/// getData
pub const GET_DATA: i32 = 4;
/// setData
pub const SET_DATA: i32 = 5;
/// getACL
pub const GET_ACL: i32 = 6;
/// setACL
pub const SET_ACL: i32 = 7;
/// getChildren; the reply is names only.
pub const GET_CHILDREN: i32 = 8;
/// sync
pub const SYNC: i32 = 9;
/// ping
pub const PING: i32 = 11;
/// getChildren2; the reply is names and the parent's stat.
pub const GET_CHILDREN2: i32 = 12;
/// check; in transactions only: alone, 3.8.0 never answers one that succeeds, and 3.9.3 does not
/// know it.
pub const CHECK: i32 = 13;
/// multi
pub const MULTI: i32 = 14;
/// create2; the reply is path and stat.
pub const CREATE2: i32 = 15;
/// reconfig
pub const RECONFIG: i32 = 16;
/// checkWatches
pub const CHECK_WATCHES: i32 = 17;
/// removeWatches
pub const REMOVE_WATCHES: i32 = 18;
/// createContainer
pub const CREATE_CONTAINER: i32 = 19;
/// deleteContainer; between servers only.
pub const DELETE_CONTAINER: i32 = 20;
/// createTTL
pub const CREATE_TTL: i32 = 21;
/// multiRead
pub const MULTI_READ: i32 = 22;
/// auth
pub const AUTH: i32 = 100;
/// setWatches; the three one-shot kinds.
pub const SET_WATCHES: i32 = 101;
/// sasl
pub const SASL: i32 = 102;
/// getEphemerals
pub const GET_EPHEMERALS: i32 = 103;
/// getAllChildrenNumber
pub const GET_ALL_CHILDREN_NUMBER: i32 = 104;
/// setWatches2; all five kinds.
pub const SET_WATCHES2: i32 = 105;
/// addWatch
pub const ADD_WATCH: i32 = 106;
/// whoAmI
pub const WHO_AM_I: i32 = 107;
/// createSession; never in a header that a client sends.
pub const CREATE_SESSION: i32 = -10;
/// closeSession
pub const CLOSE_SESSION: i32 = -11;
/// An error as a result of a transaction's operation.
pub const ERROR: i32 = -1;

/// The operation's name as the protocol spells it; `unknown` for other numbers.
pub const fn name(opcode: i32) -> &'static str {
    match opcode {
        NOTIFICATION => "notification",
        CREATE => "create",
        DELETE => "delete",
        EXISTS => "exists",
        GET_DATA => "getData",
        SET_DATA => "setData",
        GET_ACL => "getACL",
        SET_ACL => "setACL",
        GET_CHILDREN => "getChildren",
        SYNC => "sync",
        PING => "ping",
        GET_CHILDREN2 => "getChildren2",
        CHECK => "check",
        MULTI => "multi",
        CREATE2 => "create2",
        RECONFIG => "reconfig",
        CHECK_WATCHES => "checkWatches",
        REMOVE_WATCHES => "removeWatches",
        CREATE_CONTAINER => "createContainer",
        DELETE_CONTAINER => "deleteContainer",
        CREATE_TTL => "createTTL",
        MULTI_READ => "multiRead",
        AUTH => "auth",
        SET_WATCHES => "setWatches",
        SASL => "sasl",
        GET_EPHEMERALS => "getEphemerals",
        GET_ALL_CHILDREN_NUMBER => "getAllChildrenNumber",
        SET_WATCHES2 => "setWatches2",
        ADD_WATCH => "addWatch",
        WHO_AM_I => "whoAmI",
        CREATE_SESSION => "createSession",
        CLOSE_SESSION => "closeSession",
        ERROR => "error",
        _ => "unknown",
    }
}

/// Whether the operation changes the tree or the ensemble: when its reply is lost, nobody knows
/// whether it was executed.
pub const fn is_write(opcode: i32) -> bool {
    matches!(
        opcode,
        CREATE | DELETE | SET_DATA | SET_ACL | MULTI | CREATE2 | RECONFIG | CREATE_CONTAINER | CREATE_TTL
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_a_name_of_its_own() {
        let names: Vec<_> = (-20..200).map(name).filter(|n| *n != "unknown").collect();
        let distinct: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(names.len(), 33);
        assert_eq!(distinct.len(), 33);
    }

    #[test]
    fn only_changes_count_as_writes() {
        let writes: Vec<_> = (-20..200).filter(|op| is_write(*op)).map(name).collect();
        assert_eq!(
            writes,
            [
                "create",
                "delete",
                "setData",
                "setACL",
                "multi",
                "create2",
                "reconfig",
                "createContainer",
                "createTTL"
            ]
        );
    }
}
