"""What the tests run in a process of its own: ``python -m tests.library.children NAME FOLDER ...``."""

import os
import resource
import sys
from pathlib import Path

from nemochat.domain.chat import Chat
from nemochat.domain.images import Original
from nemochat.domain.replies import ModelRef
from nemochat.errors import NemochatError
from nemochat.library import ConflictError, Library, migrations
from tests.library.building import reply, user

NOBODY = 65534


def say(text: str) -> None:
    """To the test, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def grow(folder: Path) -> None:
    """Replies that grow without end; what is said was saved before."""
    library, _ = Library.open(folder, busy_seconds=60)
    before = Chat()
    saved = library.save(None, 0, None, before, model=ModelRef("demo"))
    say(f"{saved.id} 0 0")
    while True:
        chat = before.added(user(f"question {len(before.entries)}"))
        saved = library.save(saved.id, saved.version, before, chat, model=ModelRef("demo"))
        before, chat = chat, chat.added(reply(""))
        for length in range(1, 40):
            chat = chat.changed(len(chat.entries) - 1, reply("word " * length))
            saved = library.save(saved.id, saved.version, before, chat, model=ModelRef("demo"))
            before = chat
            say(f"{saved.id} {len(chat.entries)} {length}")


def write(folder: Path, name: str, count: int) -> None:
    """Messages into a conversation of its own and, in turn, into one that both processes share; a conflict is read and tried again."""
    library, _ = Library.open(folder, busy_seconds=60)
    chat = Chat().named(name)
    saved = library.save(None, 0, None, chat, model=ModelRef())
    for number in range(count // 2):
        after = chat.added(user(f"{name} {number}"))
        saved, chat = library.save(saved.id, saved.version, chat, after, model=ModelRef()), after
        while True:
            shared = library.load("shared")
            try:
                after = shared.chat.added(user(f"{name} {number}"))
                library.save("shared", shared.version, shared.chat, after, model=ModelRef())
                break
            except ConflictError:
                continue
    library.close()


def write_at_once(folder: Path, names: list[str], count: int) -> None:
    """Programs that write, all begun in the same moment. Ends with a failure when one of them does."""
    children = []
    for name in names:
        if (child := os.fork()) == 0:
            write(folder, name, count)
            os._exit(0)
        children.append(child)
    sys.exit(any(os.waitpid(child, 0)[1] for child in children))


def fill_the_disk(folder: Path) -> None:
    """Save until the limit on the size of a file is met, read, and save again when it is lifted."""
    library, _ = Library.open(folder)
    chat = Chat().added(user("the first"))
    saved = library.save(None, 0, None, chat, model=ModelRef())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
    lost = None
    for number in range(1000):
        after = chat.added(user(f"message {number} " + "word " * 2000))
        try:
            saved, chat = library.save(saved.id, saved.version, chat, after, model=ModelRef()), after
        except NemochatError as error:
            lost = after
            say(f"{error.message} | {error.hint}")
            break
    assert lost is not None
    assert library.load(saved.id).chat == chat
    try:
        library.put_picture("1" * 64, Original(bytes(1_000_000), "png"))
    except NemochatError as error:
        say(error.message)
    assert list(folder.rglob(".part*")) == []
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    saved = library.save(saved.id, saved.version, chat, lost, model=ModelRef())
    assert library.load(saved.id).chat == lost
    assert library.check() == []
    library.close()
    say(f"{len(lost.entries)} messages")


def read_only(folder: Path) -> None:
    """As a user who may read the folder and not write it; then who may."""
    migrations.newest()  # whoever comes now may not be able to read the program
    if os.geteuid() == 0:  # nothing is read-only for root
        os.chown(folder, NOBODY, NOBODY)
        os.setuid(NOBODY)
    folder.chmod(0o500)
    try:
        Library.open(folder)
    except NemochatError as error:
        say(f"{error.message} | {error.hint}")
    folder.chmod(0o700)
    library, _ = Library.open(folder)
    saved = library.save(None, 0, None, Chat(), model=ModelRef())
    library.close()
    (folder / "library.db").chmod(0o400)
    folder.chmod(0o500)
    try:
        library.save(saved.id, saved.version, Chat(), Chat().named("x"), model=ModelRef())
    except NemochatError as error:
        say(f"{error.message} | {error.hint}")
    folder.chmod(0o700)
    (folder / "library.db").chmod(0o600)
    library.save(saved.id, saved.version, Chat(), Chat().named("x"), model=ModelRef())
    say(library.load(saved.id).chat.name)
    library.close()


def main(name: str, folder: str, *arguments: str) -> None:
    """Do one of them."""
    match name:
        case "grow":
            grow(Path(folder))
        case "write":
            write_at_once(Path(folder), arguments[0].split(), int(arguments[1]))
        case "read-only":
            read_only(Path(folder))
        case "fill":
            fill_the_disk(Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
