"""What is fixed before any training: the tested concepts, the demo images and the templates."""

from __future__ import annotations

# Code point, CLDR name, everyday name.
CONCEPTS: list[tuple[str, str, str]] = [
    ("1F431", "cat face", "cat"),
    ("1F436", "dog face", "dog"),
    ("1F34E", "red apple", "apple"),
    ("1F34C", "banana", "banana"),
    ("1F355", "pizza", "pizza"),
    ("1F697", "automobile", "car"),
    ("1F692", "fire engine", "fire truck"),
    ("2708", "airplane", "airplane"),
    ("1F6B2", "bicycle", "bicycle"),
    ("1F3E0", "house", "house"),
    ("1F339", "rose", "rose"),
    ("1F333", "deciduous tree", "tree"),
    ("2614", "umbrella with rain drops", "umbrella"),
    ("23F0", "alarm clock", "alarm clock"),
    ("1F3B8", "guitar", "guitar"),
    ("26BD", "soccer ball", "soccer ball"),
    ("1F353", "strawberry", "strawberry"),
    ("1F347", "grapes", "grapes"),
    ("1F349", "watermelon", "watermelon"),
    ("1F955", "carrot", "carrot"),
    ("1F354", "hamburger", "hamburger"),
    ("1F366", "soft ice cream", "ice cream"),
    ("1F382", "birthday cake", "birthday cake"),
    ("2615", "hot beverage", "cup of coffee"),
    ("1F418", "elephant", "elephant"),
    ("1F981", "lion", "lion"),
    ("1F42F", "tiger face", "tiger"),
    ("1F40E", "horse", "horse"),
    ("1F42E", "cow face", "cow"),
    ("1F437", "pig face", "pig"),
    ("1F438", "frog", "frog"),
    ("1F427", "penguin", "penguin"),
    ("1F989", "owl", "owl"),
    ("1F41F", "fish", "fish"),
    ("1F98B", "butterfly", "butterfly"),
    ("1F41D", "honeybee", "bee"),
    ("1F422", "turtle", "turtle"),
    ("1F40D", "snake", "snake"),
    ("1F68C", "bus", "bus"),
    ("1F682", "locomotive", "train"),
    ("26F5", "sailboat", "sailboat"),
    ("1F680", "rocket", "rocket"),
    ("1F681", "helicopter", "helicopter"),
    ("1F69C", "tractor", "tractor"),
    ("2600", "sun", "sun"),
    ("1F344", "mushroom", "mushroom"),
    ("1F33B", "sunflower", "sunflower"),
    ("1F335", "cactus", "cactus"),
    ("1F511", "key", "key"),
    ("1F4D6", "open book", "book"),
]

# The class list that ships with the model (models/demo/classes.txt).
DEMO_CLASSES = [
    "apple", "banana", "strawberry", "watermelon", "pizza", "hamburger", "car", "airplane", "bicycle", "rocket",
    "sailboat", "guitar", "umbrella", "soccer ball", "frog", "tiger", "penguin", "butterfly", "cactus", "sunflower",
]

# The demo images: (class, kind, what). "emojione" is the artist never trained on; "photo" is a Tux Paint
# photograph left out of training; "noto" is a trained drawing in a rendering the training has not seen.
DEMO_IMAGES: list[tuple[str, str, str]] = [
    ("frog", "emojione", "1F438"),
    ("pizza", "emojione", "1F355"),
    ("rocket", "emojione", "1F680"),
    ("umbrella", "emojione", "2614"),
    ("sunflower", "emojione", "1F33B"),
    ("cactus", "emojione", "1F335"),
    ("penguin", "photo", "animals/birds/magellanic_penguin.png"),
    ("apple", "photo", "food/fruit/apple_fuji.png"),
    ("strawberry", "emojione", "1F353"),
    ("car", "photo", "vehicles/auto/sedan.png"),
    ("butterfly", "noto", "1F98B"),
    ("sailboat", "noto", "26F5"),
]

# Photographs never trained on: those of the demo, and a strawberry that is not shipped because its licence (GFDL)
# would have to be shipped with it.
HELD_OUT_PHOTOGRAPHS = {what for _, kind, what in DEMO_IMAGES if kind == "photo"} | {"food/fruit/Strawberry2.png"}

# The first five are the test templates (averaged).
TEMPLATES = [
    "a photo of a {}.", "a drawing of a {}.", "an emoji of a {}.", "a picture of a {}.", "{}",
    "a {}", "a picture of a {}.", "the {}.", "a cartoon {}.", "clip art of a {}.",
    "an icon of a {}.", "a photo of the {}.", "this is a {}.", "a small {}.", "{} icon",
]
TEST_TEMPLATES = TEMPLATES[:5]

# Names that end in a concept's name without being one ("sea lion").
NOT_CONCEPTS = {
    "sea lion", "hot dog", "corn dog", "pie apple", "keyboard key", "man w umbrella", "planet closest to the sun",
    "formula one car", "race car", "toy car", "christmas tree", "palm tree", "pili nut tree", "alien tree", "view tree",
    "penguin in a farm tractor", "folder penguin", "bass guitar", "guinea pig", "help books", "closed book",
}
