//! The simulated cloud as a program: starts the default world with demonstration images, says where everything is, and
//! stays until interrupted.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use cloudsim::image::Image;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};

/// Layers and bytes of the large demonstration image.
const LARGE_IMAGE: (usize, usize) = (4, 32 * 1024 * 1024);

/// A simulated Alibaba Cloud on loopback: STS, Container Registry, metadata service, token realm, registry and OSS.
#[derive(Debug, Parser)]
#[command(name = "cloudsim", version)]
struct Arguments {
    /// Port of the TLS listener; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Writes the CA and one configuration per method into this directory.
    #[arg(long, value_name = "DIR")]
    config_out: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the one place where this program reports its failure")]
            {
                eprintln!("cloudsim: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let cloud = CloudSim::builder().port(arguments.port).start().await?;
    let (layers, bytes) = LARGE_IMAGE;
    cloud.push(setup::INSTANCE, "team/large", "v1", &Image::random(layers, bytes, 1))?;
    if let Some(image) = Image::busybox() {
        cloud.push(setup::INSTANCE, "team/busybox", "v1", &image)?;
    }
    if let Some(directory) = &arguments.config_out {
        write_configurations(&cloud, directory)?;
    }
    print_guide(&cloud, arguments.config_out.as_deref());
    tokio::signal::ctrl_c().await?;
    Ok(())
}

fn write_configurations(cloud: &CloudSim, directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    cloud.write_ca(&directory.join("ca.pem"))?;
    for method in Method::ALL {
        std::fs::write(directory.join(format!("{}.yaml", method.name())), cloud.node_config(method))?;
        let incumbent = directory.join(format!("acr-configuration-{}.yaml", method.name()));
        std::fs::write(incumbent, cloud.acr_configuration(method))?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a program that tells a person where it listens")]
fn print_guide(cloud: &CloudSim, written_to: Option<&Path>) {
    println!("every https name   {}", cloud.tls_addr());
    println!("metadata service   {}", cloud.imds_url());
    println!("CA certificate     {}", cloud.ca_file().display());
    println!("service token      {}", cloud.oidc_token_file().display());
    for domain in cloud.directory().instances().iter().flat_map(cloudsim::ram::Instance::domains) {
        println!("registry           {domain}");
    }
    match written_to {
        Some(directory) => println!("configurations     {}", directory.display()),
        None => println!("\nconfiguration for the node's worker role:\n\n{}", cloud.node_config(Method::WorkerRole)),
    }
    println!("\nstop with ctrl-c");
}
