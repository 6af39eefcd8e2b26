//! A pull by a client that is not ours and not containerd: oci-client, with the daemon as its mirror.

use oci_client::Reference;
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::manifest::OciManifest;
use oci_client::secrets::RegistryAuth;

use crate::support::{DOMAIN, Node, REPOSITORY, TAG};

#[tokio::test(flavor = "multi_thread")]
async fn oci_client_pulls_every_layer() {
    let node = Node::start().await;
    let config = ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() };
    let client = Client::new(config);
    let mut reference = Reference::with_tag(DOMAIN.to_owned(), REPOSITORY.to_owned(), TAG.to_owned());
    reference.set_mirror_registry(node.daemon.listen.to_string());
    let (manifest, digest) =
        client.pull_image_manifest(&reference, &RegistryAuth::Anonymous).await.expect("a manifest");
    assert!(node.image.manifests.iter().any(|(stored, _)| *stored == digest));
    for layer in &manifest.layers {
        let mut bytes = Vec::new();
        client.pull_blob(&reference, layer, &mut bytes).await.expect("a layer, verified by the client");
        let stored = node.image.blobs.iter().find(|(digest, _)| *digest == layer.digest).expect("a layer of the image");
        assert_eq!(stored.1, bytes);
    }
    let (index, _) = client.pull_manifest(&reference, &RegistryAuth::Anonymous).await.expect("an index");
    assert!(matches!(index, OciManifest::ImageIndex(_)));
    node.finish().await;
}
