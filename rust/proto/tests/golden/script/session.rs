//! What is about the session, its watches and its servers.

use super::*;

impl<S: Server> Script<'_, S> {
    pub(super) fn session_packets(&mut self) {
        let mut ping = Vec::new();
        encode_ping(&mut ping);
        let (events, header, body) = self.frame("ping", &ping);
        assert_eq!((header.xid, header.code), (-2, Code::OK));
        assert_eq!((events.len(), body.len()), (0, 0));
        for (name, credentials) in [("auth", "ann:secret"), ("auth_super", "super:secret")] {
            let packet = AuthPacket { scheme: b"digest", credentials: credentials.as_bytes() };
            let mut auth = Vec::new();
            packet.encode(&mut auth);
            let (_, header, body) = self.frame(name, &auth);
            assert_eq!((header.xid, header.code), (-4, Code::OK));
            assert!(body.is_empty());
        }
    }

    pub(super) fn persistent_watches(&mut self) {
        let add = |path, mode| Request::AddWatch { path, mode };
        let set = |path| Request::SetData { path, data: None, version: -1 };
        let remove = |path, kind| Request::RemoveWatches { path, kind, local: false };
        let check = |path, kind| Request::CheckWatches { path, kind };
        // The server forgets the children watch of "/g" only when it fires: take it off first.
        let result = self.quietly("check_watches", &check(b"/g", WatcherType::Children));
        assert_eq!(result, Ok(Reply::Nothing));
        let result = self.quietly("remove_watches", &remove(b"/g", WatcherType::Children));
        assert_eq!(result, Ok(Reply::Nothing));
        let result = self.quietly("check_watches_none", &check(b"/g", WatcherType::Children));
        assert_eq!(result, Err(Code::NO_WATCHER));
        let result = self.quietly("remove_watches_none", &remove(b"/g", WatcherType::Any));
        assert_eq!(result, Err(Code::NO_WATCHER));

        let result = self.quietly("add_watch", &add(b"/g/two", AddWatchMode::Persistent));
        assert_eq!(result, Ok(Reply::Outcome(Code::OK)));
        let request = add(b"/m", AddWatchMode::PersistentRecursive);
        let result = self.quietly("add_watch_recursive", &request);
        assert_eq!(result, Ok(Reply::Outcome(Code::OK)));
        let result = self.quietly("add_watch_no_node", &add(b"/none", AddWatchMode::Persistent));
        assert_eq!(result, Ok(Reply::Outcome(Code::OK)));
        for name in ["persistent_event", "persistent_event_again"] {
            let answer = self.ask(name, &set(b"/g/two"));
            assert_eq!(answer.events, [(EventType::CHANGED, bytes("/g/two"))]);
        }
        let answer = self.ask("recursive_event", &set(b"/m/c"));
        assert_eq!(answer.events, [(EventType::CHANGED, bytes("/m/c"))]);

        // 3.8 does not know the two kinds of persistent watches here, and says so in its own way.
        let knows_persistent = !self.server.version().starts_with("3.8.");
        let expected = if knows_persistent { Ok(Reply::Nothing) } else { Err(Code::MARSHALLING_ERROR) };
        for (name, path, kind) in [
            ("remove_watches_persistent", &b"/g/two"[..], WatcherType::Persistent),
            ("remove_watches_recursive", b"/m", WatcherType::PersistentRecursive),
        ] {
            let result = self.quietly(name, &remove(path, kind));
            assert_eq!(result, expected, "{name}");
        }
        let result = self.quietly("remove_watches_any", &remove(b"/none", WatcherType::Any));
        assert_eq!(result, Ok(Reply::Nothing));
    }

    pub(super) fn configuration(&mut self) {
        let result = self.quietly("get_config", &Request::GetConfig { watch: true });
        let config = data_of(&result).unwrap();
        let lines: Vec<_> = config.split(|byte| *byte == b'\n').collect();
        let [members, version] = lines[..] else {
            panic!("{result:?}");
        };
        assert!(members.starts_with(b"server.1=127.0.0.1:"));
        assert!(version.starts_with(b"version="));
        let reconfig = |config_version| Request::Reconfig {
            joining: None,
            leaving: None,
            members: Some(members),
            config_version,
        };
        let result = self.quietly("reconfig_bad_version", &reconfig(0x77));
        assert_eq!(result, Err(Code::BAD_VERSION));
        let answer = self.ask("reconfig", &reconfig(-1));
        assert!(data_of(&answer.result).unwrap().starts_with(members));
        assert_eq!(answer.events, [(EventType::CHANGED, bytes("/zookeeper/config"))]);
        let leaving =
            Request::Reconfig { joining: None, leaving: Some(b"1"), members: None, config_version: -1 };
        let result = self.quietly("reconfig_no_quorum", &leaving);
        assert_eq!(result, Err(Code::BAD_ARGUMENTS));
    }

    pub(super) fn resume(&mut self, session: &ConnectResponse) {
        let resumed = self.connect("connect_resume", session.session_id, session.passwd, 1);
        assert_eq!(&resumed, session);
        // The new connection has not authenticated.
        let request = Request::SetData { path: b"/g/two", data: None, version: -1 };
        let result = self.quietly("set_data_no_auth", &request);
        assert_eq!(result, Err(Code::NO_AUTH));
        let mut batch = SetWatches::new(1);
        batch.add(0, "/g"); // changed since
        batch.add(0, "/g/null"); // deleted since
        batch.add(1, "/g/later"); // created since
        batch.add(2, "/g"); // children changed since
        batch.add(1, "/none");
        let mut out = Vec::new();
        batch.encode(&mut out);
        let (events, header, body) = self.frame("set_watches", &out);
        assert_eq!((header.xid, header.code), (-8, Code::OK));
        assert!(body.is_empty());
        let mut events: Vec<_> = events.into_iter().map(|e| (e.kind.0, e.path)).collect();
        events.sort();
        assert_eq!(
            events,
            [(1, bytes("/g/later")), (2, bytes("/g/null")), (3, bytes("/g")), (4, bytes("/g"))]
        );
        let mut batch = SetWatches::new(1);
        batch.add(3, "/g");
        batch.add(4, "/m");
        batch.add(0, "/g");
        out.clear();
        batch.encode(&mut out);
        let (events, header, body) = self.frame("set_watches2", &out);
        assert_eq!((header.xid, header.code), (-8, Code::OK));
        assert!(body.is_empty());
        // Persistent ones are only armed.
        let events: Vec<_> = events.into_iter().map(|e| (e.kind, e.path)).collect();
        assert_eq!(events, [(EventType::CHANGED, bytes("/g"))]);
    }

    pub(super) fn refusals(&mut self, session: &ConnectResponse) {
        let stolen = self.connect("connect_wrong_passwd", session.session_id, [7; 16], 0);
        assert_eq!((stolen.timeout_ms, stolen.session_id), (0, 0));
        assert_eq!(stolen.passwd, [0; 16]);

        self.connect("connect_for_unknown", 0, [0; 16], 0);
        let (_, header, body) = self.frame("unknown_opcode", b"\0\0\0\x08\0\0\0\x05\0\0\x27\x0f");
        assert_eq!((header.xid, header.code), (5, Code::UNIMPLEMENTED));
        assert!(body.is_empty());

        self.connect("connect_for_auth", 0, [0; 16], 0);
        let packet = AuthPacket { scheme: b"no such scheme", credentials: b"" };
        let mut out = Vec::new();
        packet.encode(&mut out);
        let (_, header, _) = self.frame("auth_refused", &out);
        assert_eq!((header.xid, header.code), (-4, Code::AUTH_FAILED));

        self.connect("connect_for_sasl", 0, [0; 16], 0);
        out.clear();
        SaslToken(b"").encode(1, &mut out);
        let (_, header, _) = self.frame("sasl_not_configured", &out);
        assert_eq!(header.xid, 1);

        let session = self.connect("connect_again", session.session_id, session.passwd, 1);
        assert_ne!(session.session_id, 0);
        self.xid = 0;
        assert_eq!(Request::CloseSession.opcode(), opcode::CLOSE_SESSION);
        let result = self.quietly("close_session", &Request::CloseSession);
        assert_eq!(result, Ok(Reply::Nothing));
    }
}
