//! How the platform is reached: its address, the administrator's key, and a client for each service.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use gatepost_process::client_tls::ClientTls;
use gatepost_proto::v1::community_service_client::CommunityServiceClient;
use gatepost_proto::v1::courier_service_client::CourierServiceClient;
use gatepost_proto::v1::model_service_client::ModelServiceClient;
use gatepost_proto::v1::privacy_service_client::PrivacyServiceClient;
use gatepost_proto::v1::resident_service_client::ResidentServiceClient;
use secrecy::{ExposeSecret as _, SecretString};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// An enrolment waits for a worker, everything else is quicker.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// A key is short, a token may be long.
const KEY_FILE_MAX_BYTES: u64 = 16 * 1024;

/// Where the platform is and who calls.
#[derive(Debug, Args)]
pub(super) struct ConnectionArgs {
    /// The platform's gRPC address.
    #[arg(long, global = true, env = "GATEPOST_ADDRESS", default_value = "http://127.0.0.1:50051")]
    address: String,
    #[command(flatten)]
    tls: ClientTls,
    /// An administrator's key, or a token of its identity provider. Others on this machine can read command lines: prefer the variable or a file.
    #[arg(long, global = true, env = "GATEPOST_KEY", hide_env_values = true)]
    key: Option<SecretString>,
    /// File that holds the key or the token [default: DATA_DIR/admin.key]
    #[arg(long, global = true, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Folder of `gatepost serve`, which writes the first administrator's key there.
    #[arg(long, global = true, env = "GATEPOST_DATA_DIR", default_value = "./gatepost-data")]
    data_dir: PathBuf,
}

impl ConnectionArgs {
    /// Reads the key and connects.
    pub(super) async fn connect(&self) -> anyhow::Result<Client> {
        let scheme = self.address.split_once("://").map(|(scheme, _)| scheme);
        if !matches!(scheme, Some("http" | "https")) {
            bail!("{} is no address; write for example http://127.0.0.1:50051", self.address);
        }
        let bearer = Bearer::new(&self.secret()?)?;
        let endpoint = Endpoint::from_shared(self.address.clone())
            .with_context(|| format!("{} is no address", self.address))?
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN);
        let endpoint = self.tls.secure(endpoint)?;
        let channel = endpoint.connect().await.with_context(|| {
            format!("no platform answers at {}; start `gatepost serve`, or say where with --address", self.address)
        })?;
        Ok(Client { channel, bearer })
    }

    fn secret(&self) -> anyhow::Result<SecretString> {
        // A file named on the command line is more explicit than a variable that happens to be set.
        if let Some(file) = &self.key_file {
            return read_key(file);
        }
        if let Some(key) = &self.key {
            return Ok(key.clone());
        }
        let file = self.data_dir.join("admin.key");
        read_key(&file).context("no key: give --key-file or GATEPOST_KEY, or name the folder of `gatepost serve`")
    }
}

fn read_key(file: &Path) -> anyhow::Result<SecretString> {
    let size = std::fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?.len();
    if size > KEY_FILE_MAX_BYTES {
        bail!("{} is too large to be a key", file.display());
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    match text.trim() {
        "" => bail!("{} is empty", file.display()),
        key => Ok(SecretString::from(key)),
    }
}

/// One connection, spoken through with the administrator's key.
pub(super) struct Client {
    channel: Channel,
    bearer: Bearer,
}

type Authorized = InterceptedService<Channel, Bearer>;

impl Client {
    /// Communities and policies.
    pub(super) fn communities(&self) -> CommunityServiceClient<Authorized> {
        CommunityServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    /// Couriers and keys.
    pub(super) fn couriers(&self) -> CourierServiceClient<Authorized> {
        CourierServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    /// The model of faces.
    pub(super) fn models(&self) -> ModelServiceClient<Authorized> {
        ModelServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    /// What residents may ask about their data.
    pub(super) fn privacy(&self) -> PrivacyServiceClient<Authorized> {
        PrivacyServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    /// The roster.
    pub(super) fn residents(&self) -> ResidentServiceClient<Authorized> {
        ResidentServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }
}

/// Puts the key into every request.
#[derive(Clone)]
pub(super) struct Bearer(MetadataValue<Ascii>);

impl Bearer {
    fn new(secret: &SecretString) -> anyhow::Result<Self> {
        let mut value: MetadataValue<Ascii> = format!("Bearer {}", secret.expose_secret())
            .parse()
            .map_err(|_| anyhow::anyhow!("the key has characters that no key has"))?;
        value.set_sensitive(true);
        Ok(Bearer(value))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(data_dir: &Path, key: Option<&str>, key_file: Option<PathBuf>) -> ConnectionArgs {
        ConnectionArgs {
            address: "http://127.0.0.1:1".into(),
            tls: ClientTls::default(),
            key: key.map(SecretString::from),
            key_file,
            data_dir: data_dir.into(),
        }
    }

    #[test]
    fn the_more_explicit_key_is_used() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("admin.key"), "from-folder\n").unwrap();
        let file = folder.path().join("other.key");
        std::fs::write(&file, " from-file \n").unwrap();
        let used = |key, file| args(folder.path(), key, file).secret().unwrap().expose_secret().to_owned();
        assert_eq!(used(None, None), "from-folder");
        assert_eq!(used(Some("from-variable"), None), "from-variable");
        assert_eq!(used(Some("from-variable"), Some(file)), "from-file");
    }

    #[test]
    fn a_missing_key_says_what_to_give() {
        let folder = tempfile::tempdir().unwrap();
        let error = args(folder.path(), None, None).secret().unwrap_err();
        assert!(format!("{error:#}").contains("--key-file"));
    }
}
