//! Servers that turn out to be of another cluster than the one that is looked for.
//!
//! They are passed over, and the command goes on with the next one. But whoever runs it
//! should know: an address that leads elsewhere is a slip, or worse. So they are noted
//! where connections are made, whichever part of the client makes them.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::host::{BoxFuture, Listener, Network, Stream};
use crate::sync::Mutex;
use crate::tls::WrongServer;
use crate::types::Address;

/// Those that were met, and which of them were told of. Clones are one and the same.
#[derive(Clone, Default)]
pub struct Strangers(Arc<Mutex<BTreeMap<Address, Met>>>);

struct Met {
    wrong: WrongServer,
    told: bool,
}

impl Strangers {
    /// A network that notes them.
    pub fn watch(&self, network: Arc<dyn Network>) -> Arc<dyn Network> {
        Arc::new(Watched { network, strangers: self.clone() })
    }

    /// Those that nobody was told of yet; each is handed out once.
    pub fn news(&self) -> Vec<(Address, WrongServer)> {
        let mut all = self.0.lock();
        let mut news = Vec::new();
        for (address, met) in all.iter_mut().filter(|(_, met)| !met.told) {
            met.told = true;
            news.push((address.clone(), met.wrong));
        }
        news
    }

    fn note(&self, address: Address, wrong: WrongServer) {
        self.0.lock().entry(address).or_insert(Met { wrong, told: false });
    }
}

struct Watched {
    network: Arc<dyn Network>,
    strangers: Strangers,
}

impl Network for Watched {
    fn connect(&self, address: &Address) -> BoxFuture<'static, io::Result<Stream>> {
        let (connecting, address) = (self.network.connect(address), address.clone());
        let strangers = self.strangers.clone();
        Box::pin(async move {
            let connected = connecting.await;
            if let Some(wrong) = connected.as_ref().err().and_then(WrongServer::found_by) {
                strangers.note(address, wrong);
            }
            connected
        })
    }

    fn listen(&self, address: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        self.network.listen(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Fingerprint;

    #[test]
    fn each_is_told_of_once() {
        let strangers = Strangers::default();
        let address = |port: u16| -> Address { format!("h:{port}").parse().expect("valid") };
        let wrong = |key: &[u8]| WrongServer {
            expected: Fingerprint::of(b"ours"),
            found: Fingerprint::of(key),
        };
        strangers.note(address(1), wrong(b"a"));
        strangers.note(address(1), wrong(b"a"));
        strangers.note(address(2), wrong(b"b"));
        let told = [(address(1), wrong(b"a")), (address(2), wrong(b"b"))];
        assert_eq!(strangers.clone().news(), told);
        strangers.note(address(2), wrong(b"b"));
        assert_eq!(strangers.news(), []);
    }
}
