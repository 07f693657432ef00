//! A server's side of TLS, before one without.

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What it does with the server's bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    AsItIs,
    ByteByByte,
    /// And that the client has to change its own keys.
    NewKeys,
    /// What comes after the first answer is kept back until the server closes, and then sent in one piece with the
    /// word that nothing more will come.
    LastWords,
}

pub(crate) struct Front {
    address: SocketAddr,
    goodbye: Arc<AtomicBool>,
}

impl Front {
    pub(crate) fn start(server: &str, manner: Manner) -> Front {
        let chain = vec![CertificateDer::from_pem_file(super::file("certificate.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(super::file("key.pem")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let (config, server) = (Arc::new(config), server.to_owned());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let goodbye = Arc::new(AtomicBool::new(false));
        let seen = goodbye.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (config, server, seen) = (config.clone(), server.clone(), seen.clone());
                thread::spawn(move || relay(client, &server, config, manner, &seen));
            }
        });
        Front { address, goodbye }
    }

    pub(crate) fn hosts(&self) -> String {
        self.address.to_string()
    }

    /// A client has told that it will send nothing more.
    pub(crate) fn said_goodbye(&self) -> bool {
        let give_up = Instant::now() + Duration::from_secs(20);
        while !self.goodbye.load(SeqCst) && Instant::now() < give_up {
            thread::sleep(Duration::from_millis(1));
        }
        self.goodbye.load(SeqCst)
    }
}

fn relay(client: TcpStream, server: &str, config: Arc<ServerConfig>, manner: Manner, goodbye: &AtomicBool) {
    client.set_nodelay(true).unwrap();
    let mut tls = ServerConnection::new(config).unwrap();
    tls.set_buffer_limit(None);
    let (mut from, mut to) = (client.try_clone().unwrap(), client);
    while tls.is_handshaking() || tls.wants_write() {
        if tls.complete_io(&mut to).is_err() {
            return;
        }
    }
    let backend = TcpStream::connect(server).unwrap();
    backend.set_nodelay(true).unwrap();
    let (mut answers, mut requests) = (backend.try_clone().unwrap(), backend);
    let tls = Arc::new(Mutex::new((tls, to)));
    let other = tls.clone();
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        let mut is_first = true;
        while let Ok(count @ 1..) = answers.read(&mut buffer) {
            let (tls, to) = &mut *other.lock().unwrap();
            if manner == Manner::NewKeys {
                tls.refresh_traffic_keys().unwrap();
            }
            tls.writer().write_all(&buffer[..count]).unwrap();
            if manner != Manner::LastWords || is_first {
                send(tls, to, manner);
            }
            is_first = false;
        }
        let (tls, to) = &mut *other.lock().unwrap();
        if manner == Manner::LastWords {
            tls.send_close_notify();
            send(tls, to, manner);
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
    let mut buffer = vec![0; 64 << 10];
    // The first of it may have come with the end of the handshake.
    let mut count = 0;
    loop {
        let mut rest = &buffer[..count];
        loop {
            let mut plain = Vec::new();
            {
                let (tls, to) = &mut *tls.lock().unwrap();
                if !rest.is_empty() {
                    tls.read_tls(&mut rest).unwrap();
                }
                let state = tls.process_new_packets().unwrap();
                plain.resize(state.plaintext_bytes_to_read(), 0);
                tls.reader().read_exact(&mut plain).unwrap();
                if state.peer_has_closed() {
                    goodbye.store(true, SeqCst);
                    let _ = requests.shutdown(std::net::Shutdown::Both);
                    return;
                }
                if manner != Manner::LastWords {
                    send(tls, to, manner);
                }
            }
            if requests.write_all(&plain).is_err() {
                return;
            }
            if rest.is_empty() {
                break;
            }
        }
        count = match from.read(&mut buffer) {
            Ok(count @ 1..) => count,
            _ => break,
        };
    }
    let _ = requests.shutdown(std::net::Shutdown::Both);
}

fn send(tls: &mut ServerConnection, to: &mut TcpStream, manner: Manner) {
    let mut bytes = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut bytes).unwrap();
    }
    let piece = if manner == Manner::ByteByByte { 1 } else { bytes.len().max(1) };
    for piece in bytes.chunks(piece) {
        if to.write_all(piece).is_err() {
            return;
        }
    }
}
