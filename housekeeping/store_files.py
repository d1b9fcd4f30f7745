"""Copy the model store's files to a folder and back; the store is a folder or any fsspec URL."""

from pathlib import Path

from classifier.store_uri import reached


def fetch_store(store: str, folder: Path) -> int:
    """Copy what is in the store; returns how many files. Files being written or just removed are skipped."""
    count = 0
    with reached(store) as (file_system, root):
        for path in file_system.find(root):
            name = path[len(root) :].lstrip("/")
            if any(part.startswith(".") for part in name.split("/")):
                continue
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                file_system.get_file(path, str(target))
            except FileNotFoundError:
                continue
            count += 1
    return count


def fill_store(folder: Path, store: str) -> None:
    """Copy everything in the folder into the store; files with the same name are replaced."""
    with reached(store) as (file_system, root):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                target = f"{root}/{path.relative_to(folder).as_posix()}"
                file_system.makedirs(target.rpartition("/")[0], exist_ok=True)
                file_system.put_file(str(path), target)


def holds_anything(store: str) -> bool:
    """Whether there is a file in the store."""
    with reached(store) as (file_system, root):
        return bool(file_system.find(root))
