"""The one line that installs what is missing, for the package manager of this machine."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

COMMANDS = {
    "apt-get": "apt-get install",
    "dnf": "dnf install",
    "pacman": "pacman -S --needed",
    "apk": "apk add",
    "zypper": "zypper install",
    "xcode-select": "xcode-select --install",
}


@dataclass(frozen=True)
class Need:
    """Something the machine must have: in words, and as packages of each manager (the keys of `COMMANDS`)."""

    what: str
    packages: dict[str, str]


COMPILER = Need(
    "a working C++ compiler (llama-cpp-python is compiled on this machine)",
    {
        "apt-get": "build-essential",
        "dnf": "gcc-c++",
        "pacman": "base-devel",
        "apk": "build-base linux-headers",
        "zypper": "gcc-c++",
        "xcode-select": "",
    },
)
CUDA = Need(
    "the CUDA toolkit (nvcc)",
    {"apt-get": "nvidia-cuda-toolkit", "dnf": "cuda-toolkit", "pacman": "cuda", "zypper": "cuda-toolkit"},
)
VULKAN = Need(
    "the Vulkan shader compiler (glslc) and headers",
    {
        "apt-get": "glslc libvulkan-dev spirv-headers",
        "dnf": "glslc vulkan-loader-devel spirv-headers-devel",
        "pacman": "shaderc vulkan-headers vulkan-icd-loader spirv-headers",
        "apk": "shaderc vulkan-loader-dev vulkan-headers spirv-headers",
        "zypper": "shaderc vulkan-devel spirv-headers",
    },
)


def venv_need(version: str) -> Need:
    """Python's venv and ensurepip, which Debian keeps in a package of their own; `version` such as 3.11."""
    return Need(
        "Python's venv and ensurepip modules",
        {
            "apt-get": f"python{version}-venv",
            "dnf": "python3-pip",
            "pacman": "python",
            "apk": "python3",
            "zypper": "python3-pip",
        },
    )


def manager() -> str | None:
    """The package manager of this machine; on a Mac the compiler's installer."""
    return next((name for name in COMMANDS if shutil.which(name)), None)


def missing_message(needs: list[Need]) -> str:
    """What is missing, with one line that installs all of it."""
    what = "This machine lacks " + " and ".join(need.what for need in needs) + "."
    name = manager()
    if name is None or not all(name in need.packages for need in needs):
        return f"{what}\nInstall it with the package manager of this system and start again."
    words = [COMMANDS[name], *(need.packages[name] for need in needs)]
    sudo = "" if os.geteuid() == 0 or name == "xcode-select" else "sudo "
    return f"{what}\nInstall it with\n    {sudo}{' '.join(words).strip()}\nand start again."
