//! Single operations on nodes.

use super::*;

impl<S: Server> Script<'_, S> {
    pub(super) fn create(&mut self) {
        use CreateMode::*;
        let made = self.create_node("create", "/g", Some(b"hello"), Persistent, false);
        assert_eq!(made, path("/g"));
        let made = self.create_node("create_null_data", "/g/null", None, Persistent, false);
        assert_eq!(made, path("/g/null"));
        let made = self.create_node("create_empty_data", "/g/empty", Some(b""), Persistent, false);
        assert_eq!(made, path("/g/empty"));
        let made = self.create_node("create_ephemeral", "/g/e", None, Ephemeral, false);
        assert_eq!(made, path("/g/e"));
        let made = self.create_node("create_utf8", "/g/\u{e9}", None, Persistent, false);
        assert_eq!(made, path("/g/\u{e9}"));
        let made = self.create_node("create_sequential", "/g/s-", None, PersistentSequential, false);
        assert_eq!(made, path("/g/s-0000000004"));
        let made = self.create_node("create_sequential_nameless", "/g/", None, EphemeralSequential, false);
        assert_eq!(made, path("/g/0000000005"));

        let made = self.create_node("create2", "/g/two", Some(b"2"), Persistent, true);
        let Ok(Reply::PathStat(path_made, stat)) = made else {
            panic!("{made:?}");
        };
        assert_eq!(path_made, "/g/two");
        assert_eq!((stat.version, stat.data_length), (0, 1));
        assert_eq!(stat.czxid, stat.mzxid);
        let made = self.create_node("create_container", "/g/container", None, Container, true);
        assert!(matches!(&made, Ok(Reply::PathStat(p, _)) if p == "/g/container"));
        // Clients are not shown what kind of node it is.
        assert_eq!(stat_of(&made).ephemeral_owner, 0);
        let made = self.create_node("create_ttl", "/g/ttl", None, PersistentWithTtl(3_600_000), true);
        assert!(matches!(&made, Ok(Reply::PathStat(p, _)) if p == "/g/ttl"));
        assert_eq!(stat_of(&made).ephemeral_owner, 0);
        let mode = PersistentSequentialWithTtl(0xff_ffff_ffff);
        let made = self.create_node("create_ttl_sequential", "/g/t-", None, mode, false);
        assert_eq!(made, path("/g/t-0000000009"));

        let made = self.create_node("create_again", "/g", None, Persistent, false);
        assert_eq!(made, Err(Code::NODE_EXISTS));
        let made = self.create_node("create_no_parent", "/none/x", None, Persistent, false);
        assert_eq!(made, Err(Code::NO_NODE));
        let made = self.create_node("create_below_ephemeral", "/g/e/x", None, Persistent, false);
        assert_eq!(made, Err(Code::NO_CHILDREN_FOR_EPHEMERALS));
        let made = self.create_node("create_ttl_zero", "/g/z", None, PersistentWithTtl(0), true);
        assert_eq!(made, Err(Code::BAD_ARGUMENTS));
        // What `path::validate` says of such paths.
        for (name, bad) in [
            ("create_beyond_bmp", "/g/\u{1f600}"),
            ("create_private_use", "/g/\u{e000}"),
            ("create_control", "/g/\u{85}"),
            ("create_dots", "/g/.."),
        ] {
            let made = self.create_node(name, bad, None, Persistent, false);
            assert_eq!(made, Err(Code::BAD_ARGUMENTS), "{name}");
        }
        let create =
            Create { path: b"/g/\xff", data: None, acl: &open_acl(), mode: Persistent, with_stat: false };
        let made = self.quietly("create_not_utf8", &Request::Create(create));
        assert_eq!(made, Err(Code::BAD_ARGUMENTS));
        let create = Create { path: b"/g/x", acl: &[], ..create };
        let made = self.quietly("create_no_acl", &Request::Create(create));
        assert_eq!(made, Err(Code::INVALID_ACL));
    }

    pub(super) fn read(&mut self, session_id: i64) {
        let exists = |path, watch| Request::Exists { path, watch };
        let get = |path, watch| Request::GetData { path, watch };
        let stat = stat_of(&self.quietly("exists", &exists(b"/g", false)));
        assert_eq!((stat.version, stat.data_length, stat.num_children), (0, 5, 10));
        assert_eq!((stat.cversion, stat.ephemeral_owner), (10, 0));
        let stat = stat_of(&self.quietly("exists_ephemeral", &exists(b"/g/e", false)));
        assert_eq!(stat.ephemeral_owner, session_id);
        let result = self.quietly("exists_no_node", &exists(b"/g/later", true));
        assert_eq!(result, Err(Code::NO_NODE));
        let created = self.ask(
            "create_fires_exist_watch",
            &Request::Create(Create {
                path: b"/g/later",
                data: None,
                acl: &open_acl(),
                mode: CreateMode::Persistent,
                with_stat: false,
            }),
        );
        assert_eq!(created.result, path("/g/later"));
        assert_eq!(created.events, [(EventType::CREATED, bytes("/g/later"))]);

        let result = self.quietly("get_data", &get(b"/g", true));
        assert_eq!(data_of(&result), Some(&b"hello"[..]));
        assert_eq!(stat_of(&result).data_length, 5);
        let result = self.quietly("get_data_null", &get(b"/g/null", false));
        assert_eq!(data_of(&result), None);
        let result = self.quietly("get_data_empty", &get(b"/g/empty", false));
        assert_eq!(data_of(&result), Some(&b""[..]));
        let result = self.quietly("get_data_no_node", &get(b"/none", true));
        assert_eq!(result, Err(Code::NO_NODE));

        let children = |path, watch| Request::GetChildren { path, watch };
        let names = names_of(&self.quietly("get_children", &children(b"/g", true)));
        let expected = [
            "0000000005",
            "container",
            "e",
            "empty",
            "later",
            "null",
            "s-0000000004",
            "t-0000000009",
            "ttl",
            "two",
            "\u{e9}",
        ];
        assert_eq!(names, expected);
        let names = names_of(&self.quietly("get_children_none", &children(b"/g/null", false)));
        assert_eq!(names, [""; 0]);
        let request = Request::GetChildren2 { path: b"/g", watch: false };
        let result = self.quietly("get_children2", &request);
        assert_eq!(names_of(&result), expected);
        assert_eq!(stat_of(&result).num_children, 11);
        let result = self.quietly("sync", &Request::Sync { path: b"/g" });
        assert_eq!(result, path("/g"));
    }

    pub(super) fn write(&mut self) {
        let set = |path, data, version| Request::SetData { path, data, version };
        let answer = self.ask("set_data", &set(b"/g", Some(b"world!"), 0));
        let stat = stat_of(&answer.result);
        assert_eq!((stat.version, stat.data_length), (1, 6));
        assert_eq!(answer.events, [(EventType::CHANGED, bytes("/g"))]);
        let result = self.quietly("set_data_null", &set(b"/g/two", None, -1));
        assert_eq!(stat_of(&result).data_length, 0);
        let result = self.quietly("set_data_bad_version", &set(b"/g", Some(b""), 7));
        assert_eq!(result, Err(Code::BAD_VERSION));
        let result = self.quietly("set_data_no_node", &set(b"/none", Some(b""), -1));
        assert_eq!(result, Err(Code::NO_NODE));
    }

    pub(super) fn access_lists(&mut self) {
        let get = |path| Request::GetAcl { path };
        let result = self.quietly("get_acl", &get(b"/g/two"));
        assert!(matches!(&result, Ok(Reply::Acl(acl, stat)) if *acl == open_acl() && stat.aversion == 0));
        let wanted = [acl(31, "auth", ""), acl(1, "world", "anyone")].concat();
        let set = |acl, version| Request::SetAcl { path: b"/g/two", acl, version };
        let result = self.quietly("set_acl", &set(&wanted, 0));
        assert_eq!(stat_of(&result).aversion, 1);
        let result = self.quietly("set_acl_bad_version", &set(&wanted, 0));
        assert_eq!(result, Err(Code::BAD_VERSION));
        let result = self.quietly("set_acl_invalid", &set(&acl(31, "no such scheme", ""), -1));
        assert_eq!(result, Err(Code::INVALID_ACL));
        let result = self.quietly("get_acl_of_three", &get(b"/g/two"));
        let Ok(Reply::Acl(list, _)) = result else {
            panic!("{result:?}");
        };
        let mut ids: Vec<_> = list.iter().map(|acl| (acl.perms, &acl.scheme[..], &acl.id[..])).collect();
        ids.sort();
        // "auth" became all that the session has authenticated as.
        assert_eq!(
            ids,
            [
                (1, &b"world"[..], &b"anyone"[..]),
                (31, b"digest", b"ann:7RJfAeIvrl4zdj6sS2fXrQHDvHM="),
                (31, b"digest", b"super:lK75jTNcA+U9vtVEw5vB51mj/w4="),
            ]
        );
    }

    pub(super) fn delete(&mut self) {
        let delete = |path, version| Request::Delete { path, version };
        let result = self.quietly("delete_bad_version", &delete(b"/g/null", 3));
        assert_eq!(result, Err(Code::BAD_VERSION));
        let result = self.quietly("delete_not_empty", &delete(b"/g", -1));
        assert_eq!(result, Err(Code::NOT_EMPTY));
        let result = self.quietly("delete_no_node", &delete(b"/none", -1));
        assert_eq!(result, Err(Code::NO_NODE));
        let request = Request::GetData { path: b"/g/null", watch: true };
        self.quietly("watch_before_delete", &request).unwrap();
        let answer = self.ask("delete", &delete(b"/g/null", 0));
        assert_eq!(answer.result, Ok(Reply::Nothing));
        assert_eq!(answer.events, [(EventType::DELETED, bytes("/g/null"))]);
    }
}
