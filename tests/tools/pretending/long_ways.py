"""Reads keys by ways that name other files: /proc, links, and folders that it moved."""

import os

home = os.environ["HOME"]
os.chdir(home)


def read(path):
    with open(path) as file:
        return file.read()


read(f"/proc/self/root{home}/.ssh/id_ed25519")
read("/proc/thread-self/cwd/.aws/credentials")
read(f"/proc/{os.getpid()}/root{home}/.kube/config")
os.link(".pypirc", "notes.txt")
read("notes.txt")
os.rename(".config", "settings")
read("settings/gcloud/application_default_credentials.json")
folder = os.open("/", os.O_PATH)
read(f"/proc/self/fd/{folder}{home}/.git-credentials")
