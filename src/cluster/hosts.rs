//! What the machines of a cluster are given before it is founded: a folder each, with
//! the server's configuration and the cluster's key.
//!
//! Nothing here touches the network or another machine. So it can be run anywhere, and
//! what it wrote is looked at before it is copied. The folder appears as a whole or not
//! at all ([`written_as_a_whole`]).
//!
//! Run twice it makes two clusters, with two keys. Their servers refuse each other.

use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

pub use super::whole::check_out;
use super::whole::written_as_a_whole;
use crate::config::CommandLines;
use crate::config::key_file::{self, KEY_BYTES};
use crate::error::{Error, ErrorCode, Result};
use crate::host::{Host, make_private_folders, open_private};
use crate::limits::REPLICAS_MAX;
use crate::peer::ClusterKey;
use crate::protocol::client::Member;
use crate::tls::Identity;
use crate::types::{Address, DEFAULT_PORT, Fingerprint, ReplicaId, Servers};

/// Most machines of a cluster. More replicas make every message slower and nothing
/// safer.
const HOSTS_MAX: usize = REPLICAS_MAX;

/// The file with the word for people.
const CONNECT: &str = "connect";

/// The file that says what to do now.
const README: &str = "README.txt";

/// The machines of a cluster, in the order of their replicas' numbers: at least one, none
/// twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts(pub(super) Vec<Address>);

impl std::str::FromStr for Hosts {
    type Err = Error;

    /// Reads `HOST[:PORT],…`.
    ///
    /// # Errors
    /// [`ErrorCode::WrongUsage`] that names the host.
    fn from_str(text: &str) -> Result<Hosts> {
        let wrong = |why: String| Err(Error::new(ErrorCode::WrongUsage, why));
        let mut hosts: Vec<Address> = Vec::new();
        for part in text.split(',').map(str::trim) {
            let Some(address) = Address::with_default_port(part, DEFAULT_PORT)
                .ok()
                .filter(|address| is_host(address.host()))
            else {
                return wrong(format!(
                    "{part:?} is no machine: write HOST or HOST:PORT, where HOST is a name of \
                     letters, digits, '.' and '-', or an IP address, one of IPv6 between brackets"
                ));
            };
            if address.port() == 0 {
                return wrong(format!("{} needs a port that the others can know", address.host()));
            }
            if address.is_loopback() || means_every_machine(&address) {
                return wrong(format!(
                    "{} is what every machine calls itself; name each as the others reach it",
                    address.host()
                ));
            }
            let taken = [CONNECT, README].iter().any(|it| it.eq_ignore_ascii_case(address.host()));
            if taken {
                return wrong(format!(
                    "{} is the name of a file that is written beside the machines' folders; name \
                     the machine by its address",
                    address.host()
                ));
            }
            let same = |other: &Address| is_same(other.host(), address.host());
            if hosts.iter().any(same) {
                return wrong(format!(
                    "{} is there twice: two servers on one machine fail together",
                    address.host()
                ));
            }
            hosts.push(address);
        }
        if hosts.len() > HOSTS_MAX {
            return wrong(format!("{} machines are named; {HOSTS_MAX} are the most", hosts.len()));
        }
        Ok(Hosts(hosts))
    }
}

/// Whether two texts name one machine, as far as they tell by themselves.
fn is_same(one: &str, other: &str) -> bool {
    let ip = |text: &str| text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
    one.eq_ignore_ascii_case(other) || (ip(one).is_some() && ip(one) == ip(other))
}

fn means_every_machine(address: &Address) -> bool {
    address.host().parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_unspecified())
}

/// Whether a text can be a host, and the name of a folder. A name that ends in a number
/// is none: resolvers take it for an address (RFC 1123, section 2.1).
fn is_host(text: &str) -> bool {
    let is_name = text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-'))
        && text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
        })
        && !text.rsplit('.').next().is_some_and(|last| last.bytes().all(|c| c.is_ascii_digit()));
    is_name || text.parse::<IpAddr>().is_ok()
}

/// What was written.
#[derive(Debug)]
pub struct Prepared {
    /// How clients know the cluster.
    pub fingerprint: Fingerprint,
    /// The word for people.
    pub connect: String,
    /// By replica: its machine, and the folder for that.
    pub hosts: Vec<(ReplicaId, Address, PathBuf)>,
}

/// Writes a folder for each machine of a new cluster, and what people need, into `out`,
/// which must not exist or be empty.
///
/// # Errors
/// [`ErrorCode::NotEmpty`], and [`ErrorCode::Io`] that names the file.
pub fn prepare(host: &Host, name: &str, hosts: &Hosts, out: &Path) -> Result<Prepared> {
    let key = new_key(host);
    let data = Data::Founded;
    let out = written_as_a_whole(host, out, |beside| write_all(name, hosts, &key, data, beside))?;
    Ok(prepared(hosts, &key, &out))
}

/// A key that nobody has.
pub(super) fn new_key(host: &Host) -> Zeroizing<[u8; KEY_BYTES]> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    host.random.fill(&mut *key);
    key
}

/// What stands in a folder.
pub(super) fn prepared(hosts: &Hosts, key: &[u8; KEY_BYTES], out: &Path) -> Prepared {
    let fingerprint = Identity::of(key).fingerprint();
    let folder = |address: &Address| out.join(address.host());
    let machines = (1..).zip(&hosts.0);
    Prepared {
        fingerprint,
        connect: word(hosts, fingerprint),
        hosts: machines.map(|(id, it)| (ReplicaId(id), it.clone(), folder(it))).collect(),
    }
}

/// What servers begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// Nothing: they found the cluster when they meet.
    Founded,
    /// A folder [`DATA`] beside the configuration of each.
    Brought,
}

/// The folder of a machine's data, where there is some.
pub(super) const DATA: &str = "data";

/// A machine that comes to a cluster later.
pub struct Newcomer<'a> {
    /// The number of its replica.
    pub id: ReplicaId,
    /// Where its server is reached.
    pub address: &'a Address,
    /// All replicas, this one too.
    pub members: &'a [Member],
    /// The cluster's key.
    pub key: &'a ClusterKey,
}

/// Whether an address may be that of a machine, as in [`Hosts`].
///
/// # Errors
/// [`ErrorCode::WrongUsage`] that says why not.
pub fn check_machine(address: &Address) -> Result<()> {
    address.to_string().parse::<Hosts>().map(drop)
}

/// Writes the folder of a machine that comes later.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_one(host: &Host, newcomer: &Newcomer<'_>, out: &Path) -> Result<()> {
    written_as_a_whole(host, out, |beside| write_one(newcomer, beside)).map(drop)
}

fn write_one(newcomer: &Newcomer<'_>, out: &Path) -> Result<()> {
    let Newcomer { id, address, members, key } = newcomer;
    let peers: Vec<String> =
        members.iter().map(|member| format!("{}={}", member.id, member.address)).collect();
    key_file::write_new(&out.join("cluster.key"), key.bytes())?;
    let text = configuration("that it joins", id.0, address, &peers.join(","));
    write(&out.join("config.toml"), &text)?;
    write(
        &out.join(README),
        &format!(
            "Server {id} of a cluster that runs\n\n\
             1. Copy, with the modes of the files (cluster.key is for its owner alone), what is\n   \
             here to /etc/ftchat/ on {host}.\n\n\
             2. There, at any time:\n\n   \
             {serve}\n\n   \
             It learns what the others have, and votes when it has caught up.\n\n\
             Whoever has cluster.key is the cluster: remove this folder when it is copied.\n",
            host = address.host(),
            serve = serve("/etc/ftchat/config.toml")
        ),
    )
}

fn word(hosts: &Hosts, fingerprint: Fingerprint) -> String {
    Servers { addresses: hosts.0.clone(), fingerprint: Some(fingerprint) }.word()
}

pub(super) fn write_all(
    name: &str,
    hosts: &Hosts,
    key: &[u8; KEY_BYTES],
    data: Data,
    out: &Path,
) -> Result<()> {
    let peers: Vec<String> =
        (1..).zip(&hosts.0).map(|(id, address)| format!("{id}={address}")).collect();
    for (id, address) in (1..).zip(&hosts.0) {
        let folder = out.join(address.host());
        make_private_folders(&folder).map_err(|error| Error::own_file("make", &folder, &error))?;
        let text = configuration(name, id, address, &peers.join(","));
        write(&folder.join("config.toml"), &text)?;
        key_file::write_new(&folder.join("cluster.key"), key)?;
    }
    let connect = word(hosts, Identity::of(key).fingerprint());
    write(&out.join(CONNECT), &format!("{connect}\n"))?;
    write(&out.join(README), &what_to_do(name, hosts, data, &connect))
}

pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    open_private(fs::OpenOptions::new().write(true).create_new(true), path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .map_err(|error| Error::own_file("write", path, &error))
}

fn configuration(name: &str, id: u32, address: &Address, peers: &str) -> String {
    let port = address.port();
    format!(
        r#"# Server {id} of the cluster {name}, on {host}.
# Start it with: {serve}
# ftchat.toml(5) tells of every key; flags and environment win over this file.

[serve]
id = {id}

# What is listened on: all addresses of this machine. Others reach it, so it speaks TLS.
listen = "[::]:{port}"

# All servers, this one too, as the others and clients reach them.
peers = "{peers}"

# Accounts and messages. Nobody else may write here.
data_dir = "/var/lib/ftchat"

# The cluster's secret, the same on all servers. Relative to this file.
cluster_key_file = "cluster.key"
"#,
        host = address.host(),
        serve = serve("config.toml")
    )
}

/// The command that runs a server with this configuration.
fn serve(config: &str) -> String {
    CommandLines::default().line("serve --config", &[config])
}

fn what_to_do(name: &str, hosts: &Hosts, data: Data, connect: &str) -> String {
    let (mut folders, founded) = (
        String::new(),
        match data {
            Data::Founded => "The cluster is founded when all of them have met once.",
            Data::Brought => "Messages are taken as soon as most of them run.",
        },
    );
    for host in hosts.0.iter().map(Address::host) {
        folders += &match data {
            Data::Founded => format!("   what is in {host}/ to /etc/ftchat/ on {host}\n"),
            Data::Brought => format!(
                "   config.toml and cluster.key of {host}/ to /etc/ftchat/ on {host},\n   \
                 and what is in {host}/{DATA}/ to /var/lib/ftchat/ there\n"
            ),
        };
    }
    if data == Data::Brought {
        folders += "\n   /var/lib/ftchat must be empty before, and belong with all that is in it to \
                    whoever\n   runs the server: chown -R ftchat: /var/lib/ftchat where the package \
                    is installed.\n";
    }
    format!(
        "The cluster {name}, of ftchat servers\n\n\
         1. Copy, with the modes of the files (cluster.key is for its owner alone):\n\n\
         {folders}\n\
         2. On each machine, in any order and at any time, where the package is installed:\n\n   \
         systemctl enable --now ftchat\n\n   \
         and elsewhere:\n\n   \
         {serve}\n\n   \
         {founded}\n\n\
         3. People need one word, which stands in the file connect and is no secret:\n\n   \
         {connect}\n\n   \
         They keep it once, and commands speak to servers of this cluster only, in TLS:\n\n   \
         {keep}\n\n   \
         It is taken as --servers and as FTCHAT_SERVERS too.\n\n\
         4. Who has no account needs an invitation to make one. On any of the machines:\n\n   \
         {invite}\n\n\
         Whoever has cluster.key is the cluster. Keep a copy where you keep such things, and\n\
         remove this folder.\n",
        keep = CommandLines::default().line("connect", &[connect]),
        invite = CommandLines::default()
            .line("cluster invite --cluster-key-file /etc/ftchat/cluster.key", &[]),
        serve = serve("/etc/ftchat/config.toml")
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn hosts(text: &str) -> Hosts {
        text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn machines_are_named_with_or_without_a_port() {
        let named = hosts("alpha, beta.example.org:9000,10.0.0.7,[fd00::1],[fd00::2]:1");
        let shown: Vec<String> = named.0.iter().map(Address::to_string).collect();
        let all = "alpha:8091,beta.example.org:9000,10.0.0.7:8091,[fd00::1]:8091,[fd00::2]:1";
        assert_eq!(shown.join(","), all);
        for (text, why) in [
            ("", "no machine"),
            ("alpha,", "no machine"),
            ("alpha,ALPHA:9000", "fail together"),
            ("alpha:0", "port"),
            ("alpha:65536", "no machine"),
            ("fd00::1", "no machine"),
            ("..", "no machine"),
            ("a/b", "no machine"),
            ("-alpha", "no machine"),
            ("al pha", "no machine"),
            ("alpha,localhost", "calls itself"),
            ("127.0.0.1", "calls itself"),
            ("[::]", "calls itself"),
            ("0.0.0.0", "calls itself"),
            ("10.0.0", "no machine"),
            ("10.0.0.256", "no machine"),
            ("127.1", "no machine"),
            ("10.0.0.7,[::ffff:10.0.0.7]", "fail together"),
            ("[fd00::1],[fd00:0::1]", "fail together"),
            ("Connect", "the name of a file"),
            ("a,b,c,d,e,f,g,h,i,j", "9 are the most"),
        ] {
            let refused = text.parse::<Hosts>().expect_err(text);
            assert!(refused.message.contains(why), "{text}: {}", refused.message);
        }
    }

    #[test]
    fn every_machine_gets_its_configuration_and_the_one_key() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let out = folder.path().join("new");
        let prepared =
            prepare(&Host::real(), "ours", &hosts("alpha,beta:9000,[fd00::1]"), &out).expect("new");
        let mut keys = Vec::new();
        for (id, address, dir) in &prepared.hosts {
            let path = dir.join("cluster.key");
            assert_eq!(fs::metadata(&path).expect("a key").mode() & 0o777, 0o600);
            keys.push(*key_file::read(&path).expect("a key").newest);
            let text = fs::read_to_string(dir.join("config.toml")).expect("a file");
            let config = crate::config::file::parse(&dir.join("config.toml"), &text);
            let values = config.expect("a configuration").values;
            let value = |name: &str| values[name].0.clone();
            assert_eq!(value("serve.id"), id.to_string());
            assert_eq!(value("serve.listen"), format!("[::]:{}", address.port()));
            assert_eq!(value("serve.peers"), "1=alpha:8091,2=beta:9000,3=[fd00::1]:8091");
            assert_eq!(value("serve.cluster_key_file"), path.display().to_string());
        }
        assert_eq!(keys, [keys[0]; 3]);
        let known: Servers = prepared.connect.parse().expect("a word");
        assert_eq!(known.fingerprint, Some(Identity::of(&keys[0]).fingerprint()));
        let connect = fs::read_to_string(out.join("connect")).expect("a file");
        assert_eq!(connect.trim_end(), prepared.connect);
        let told = fs::read_to_string(out.join("README.txt")).expect("a file");
        for text in [&prepared.connect, "beta/", "systemctl enable --now ftchat"] {
            assert!(told.contains(text), "{told}");
        }
        let left: Vec<_> = fs::read_dir(folder.path()).expect("a folder").collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let out = folder.path().join("new");
        fs::create_dir(&out).expect("a folder");
        let first = prepare(&Host::real(), "ours", &hosts("alpha"), &out).expect("it was empty");
        let refused = prepare(&Host::real(), "ours", &hosts("alpha"), &out).expect_err("full");
        assert_eq!(refused.code, ErrorCode::NotEmpty);
        let connect = fs::read_to_string(out.join("connect")).expect("a file");
        assert_eq!(connect.trim_end(), first.connect);
        let file = folder.path().join("file");
        fs::write(&file, "mine").expect("a file");
        prepare(&Host::real(), "ours", &hosts("alpha"), &file).expect_err("no folder");
        assert_eq!(fs::read(&file).expect("a file"), b"mine");
    }
}
