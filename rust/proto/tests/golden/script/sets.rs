//! Operations on more than one node.

use super::*;

impl<S: Server> Script<'_, S> {
    pub(super) fn transactions(&mut self) {
        let open = open_acl();
        let create = |path, mode, with_stat| {
            MultiOp::Create(Create { path, data: Some(b"m"), acl: &open, mode, with_stat })
        };
        let delete = |path| MultiOp::Delete { path, version: -1 };
        let ops = [
            MultiOp::Check { path: b"/g", version: 1 },
            create(b"/m", CreateMode::Persistent, false),
            create(b"/m/two", CreateMode::Persistent, true),
            create(b"/m/c", CreateMode::Container, false),
            create(b"/m/t", CreateMode::PersistentWithTtl(5_000), true),
            create(b"/m/s", CreateMode::EphemeralSequential, false),
            MultiOp::SetData { path: b"/m", data: None, version: 0 },
            delete(b"/m/two"),
        ];
        let result = self.quietly("multi", &Request::Multi(&ops));
        let Ok(Reply::Multi(results)) = result else {
            panic!("{result:?}");
        };
        let created = |result: &OpResult, name: &str, with_stat: bool| {
            assert!(
                matches!(result, OpResult::Create(p, s) if p == name && s.is_some() == with_stat),
                "{result:?}"
            );
        };
        assert_eq!(results.len(), ops.len());
        assert_eq!(results[0], OpResult::Check);
        created(&results[1], "/m", false);
        // 3.8 answers create2 in a transaction as it answers create.
        created(&results[2], "/m/two", !self.server.version().starts_with("3.8."));
        created(&results[3], "/m/c", true);
        created(&results[4], "/m/t", true);
        created(&results[5], "/m/s0000000003", false);
        assert!(matches!(results[6], OpResult::SetData(stat) if stat.version == 1));
        assert_eq!(results[7], OpResult::Delete);

        let ops = [
            create(b"/m/x", CreateMode::Persistent, false),
            MultiOp::Check { path: b"/m", version: 0 },
            delete(b"/m/x"),
        ];
        let result = self.quietly("multi_failed", &Request::Multi(&ops));
        let errors = [Code::OK, Code::BAD_VERSION, Code::RUNTIME_INCONSISTENCY];
        let errors = errors.map(OpResult::Error).to_vec();
        assert_eq!(result, Ok(Reply::Multi(errors)));
        let result = self.quietly("multi_empty", &Request::Multi(&[]));
        assert_eq!(result, Ok(Reply::Multi(vec![])));
    }

    pub(super) fn reads_at_once(&mut self) {
        let ops = [
            ReadOp::GetData { path: b"/g" },
            ReadOp::GetChildren { path: b"/m" },
            ReadOp::GetData { path: b"/none" },
            ReadOp::GetData { path: b"/g/null" },
        ];
        let result = self.quietly("multi_read", &Request::MultiRead(&ops));
        let Ok(Reply::MultiRead(results)) = result else {
            panic!("{result:?}");
        };
        assert_eq!(results.len(), ops.len());
        assert!(
            matches!(&results[0], ReadResult::Data(Some(data), stat) if data == "world!" && stat.version == 1)
        );
        assert!(matches!(&results[1], ReadResult::Children(names) if names.len() == 3));
        assert_eq!(results[2], ReadResult::Error(Code::NO_NODE));
        assert!(matches!(&results[3], ReadResult::Data(None, _)));
    }

    pub(super) fn tree_queries(&mut self) {
        let ephemerals = |prefix| Request::GetEphemerals { prefix };
        let paths = names_of(&self.quietly("get_ephemerals", &ephemerals(b"/")));
        assert_eq!(paths, ["/g/0000000005", "/g/e", "/m/s0000000003"]);
        let paths = names_of(&self.quietly("get_ephemerals_below", &ephemerals(b"/g/")));
        assert_eq!(paths, ["/g/0000000005", "/g/e"]);
        let count = |path| Request::GetAllChildrenNumber { path };
        let result = self.quietly("get_all_children_number", &count(b"/g"));
        assert_eq!(result, Ok(Reply::Count(11)));
        let result = self.quietly("who_am_i", &Request::WhoAmI);
        let identity = |scheme, user| Identity { scheme: bytes(scheme), user: bytes(user) };
        let Ok(Reply::Identities(mut list)) = result else {
            panic!("{result:?}");
        };
        list.sort_by(|a, b| (&a.scheme, &a.user).cmp(&(&b.scheme, &b.user)));
        assert_eq!(
            list,
            [
                identity("digest", "ann"),
                identity("digest", "super"),
                identity("ip", "127.0.0.1"),
                identity("super", ""),
            ]
        );
    }

    pub(super) fn inside_a_chroot(&mut self) {
        self.chroot = Chroot::new(b"/g").unwrap();
        let open = open_acl();
        let create = |path, mode, with_stat| Create { path, data: None, acl: &open, mode, with_stat };
        let request = Request::Exists { path: b"/in", watch: true };
        let result = self.quietly("chroot_exists", &request);
        assert_eq!(result, Err(Code::NO_NODE));
        let request = Request::Create(create(b"/in", CreateMode::Persistent, true));
        let answer = self.ask("chroot_create2", &request);
        assert!(matches!(&answer.result, Ok(Reply::PathStat(p, _)) if p == "/in"));
        assert_eq!(answer.events, [(EventType::CREATED, bytes("/in"))]);
        let request = Request::Create(create(b"/", CreateMode::PersistentSequential, false));
        let result = self.quietly("chroot_create_nameless", &request);
        assert_eq!(result, path("/0000000012"));
        let result = self.quietly("chroot_sync_root", &Request::Sync { path: b"/" });
        assert_eq!(result, path("/"));
        let request = Request::GetData { path: b"/", watch: false };
        let result = self.quietly("chroot_get_root", &request);
        assert_eq!(data_of(&result), Some(&b"world!"[..]));
        let result = self.quietly("chroot_get_ephemerals", &Request::GetEphemerals { prefix: b"/" });
        assert_eq!(names_of(&result), ["/0000000005", "/e"]);
        let ops = [
            MultiOp::Create(create(b"/in/a", CreateMode::Persistent, false)),
            MultiOp::Delete { path: b"/in/a", version: 0 },
        ];
        let result = self.quietly("chroot_multi", &Request::Multi(&ops));
        let results = vec![OpResult::Create(bytes("/in/a"), None), OpResult::Delete];
        assert_eq!(result, Ok(Reply::Multi(results)));
        let result = self.quietly("chroot_get_config", &Request::GetConfig { watch: false });
        assert!(data_of(&result).is_some());
        self.chroot = Chroot::none();
    }
}
