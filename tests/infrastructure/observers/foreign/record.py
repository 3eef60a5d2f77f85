"""`python -m tests.infrastructure.observers.foreign.record`: writes `dog_school.sql` anew, by the stock library."""

import sqlite3
import tempfile
from pathlib import Path
from typing import Final

from tests.infrastructure.observers.foreign.dog_school import DogSchool

RECORDED: Final = Path(__file__).with_name("dog_school.sql")
DOGS: Final = {
    "Fido": ("roll over", "play dead", "fetch ball"),
    "Rex": ("sit",),
    "Zoë": (),
    "Laika": ("spin", "écouter", "'; DROP TABLE tricks"),
}


def record() -> str:
    """A school's year as its database has it: events of all dogs, one trick after the other."""
    with tempfile.TemporaryDirectory() as folder:
        name = str(Path(folder) / "school.sqlite")
        with DogSchool({"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": name}) as school:
            dogs = {dog: school.register_dog(dog) for dog in DOGS}
            for number in range(max(map(len, DOGS.values()))):
                for dog, can in DOGS.items():
                    if number < len(can):
                        school.add_trick(dogs[dog], can[number])
        connection = sqlite3.connect(name)
        dump = "\n".join(connection.iterdump())
        connection.close()
    return f"{dump}\n"


if __name__ == "__main__":
    RECORDED.write_text(record(), encoding="utf-8")
