# A node image with Onward in it, as a part of your own build. The image is not booted by systemd while Packer provisions a
# container; on a machine that is, the service starts at once, and its state is taken away again at the end.
packer {
  required_plugins {
    ansible = {
      source  = "github.com/hashicorp/ansible"
      version = ">= 1.1.0"
    }
  }
}

variable "sources" {
  type        = list(string)
  description = "Your builders, as in [\"source.amazon-ebs.node\"]"
}

build {
  sources = var.sources

  provisioner "ansible" {
    playbook_file = "${path.root}/packer.yml"
    extra_arguments = ["--extra-vars", "onward_package=${path.root}/onward_0.1.0-1_amd64.deb"]
  }
}
