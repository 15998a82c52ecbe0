"""Names and things to speak of: long lists, and made-up words, so that copying is learned rather than the lists."""

from __future__ import annotations

import random

from training.corpus.wording import pick, words_of

NAMES = words_of(
    """
    Anna, Ben, Clara, David, Emma, Felix, Grace, Hugo, Iris, Jonas, Kira, Liam, Mia, Noah, Olivia, Paul, Quinn, Rosa, Sam, Tara,
    Uma, Viktor, Wendy, Xavier, Yara, Zoe, Alice, Bruno, Chloe, Dario, Elena, Finn, Gina, Henrik, Ida, Jakub, Karin, Leo, Maria,
    Nils, Oscar, Petra, Ravi, Sofia, Tom, Ursula, Vera, Will, Yusuf, Zara, Ahmed, Bea, Carlos, Dana, Erik, Fatima, George, Hana,
    Ivan, Julia, Kemal, Lucia, Marco, Nora, Otto, Priya, Rahul, Sara, Theo, Una, Vlad, Wanda, Yuki, Amir, Bianca, Cyrus, Diego,
    Edith, Frank, Gloria, Hassan, Ingrid, James, Kate, Lars, Mehmet, Nadia, Omar, Pia, Roberto, Stella, Tim, Valentina, Walter,
    Ximena, Abel, Britta, Colin, Delia, Ethan, Fiona, Gustav, Helen, Isaac, Jane, Kurt, Lena, Martin, Nina, Owen, Paula, Ramon,
    Susan, Tobias, Violet, Wilma, Arthur, Beatrice, Conrad, Daisy, Edgar, Flora, Gilbert, Hazel, Igor, Josephine, Kenji, Lydia,
    Mateo, Naomi, Olaf, Penelope, Rufus, Sylvia, Tristan, Ulrich, Vincent, Winona, Yvonne, Zelda, Adrian, Bella, Cedric, Dora,
    Elias, Freya, Gareth, Heidi, Ismail, Jasper, Kim, Lorenzo, Mona, Nathan, Oona, Philip, Rita, Simon, Thea, Umberto, Vanessa,
    Wyatt, Yasmin, Amelia, Boris, Cora, Dmitri, Esther, Florian, Greta, Harold, Irene, Joel, Kathrin, Louis, Mabel, Neil, Ottilie,
    Pablo, Rosalind, Sven, Tilda, Victor, Willow, Yannick, Aiko, Bogdan, Carmen, Duncan, Eva, Farid, Gwen, Hector, Inga, Juan,
    Katya, Luca, Magnus, Nadine, Odette, Pedro, Robin, Samir, Tina, Urban, Viola, Wen, Yosef, Zora, Max, Lily, Jack, Ella, Ali,
    Mei, Raj, Kofi, Ama, Chen, Lin, Ngozi, Tariq, Leila, Mina, Sasha, Alex, Charlie, Jordan, Casey, Riley, Morgan, Avery, Jamie,
    Taylor, Chris, Pat, Nick, Steve, Mike, Laura, Linda, Peter, John, Mary, Robert, Sarah, Daniel, Lisa, Mark, Emily, Kevin,
    Rachel, Brian, Megan
    """
)
SURNAMES = words_of(
    """
    Smith, Miller, Novak, Silva, Rossi, Weber, Larsen, Kowalski, Dubois, Haas, Berg, Okafor, Tanaka, Patel, Nguyen, Brown, Walker,
    Reed, Stone, Marsh, Hill, Field, Carter, Mason, Cooper, Baker, Fischer, Wagner, Moreau, Costa, Santos, Romero, Vega, Ortega,
    Lindgren, Holm, Nyberg, Petrov, Ivanova, Sato, Mori, Kim, Park, Lee, Wong, Khan, Rahman, Haddad, Nasser, Mensah, Diallo,
    Banda, Quist, Vance, Thorne, Ash, Black, White, Grey, Wolfe, Finch, Crane, Swift, Drake, Pike, Frost, Winter
    """
)
CITIES = words_of(
    """
    Lisbon, Porto, Madrid, Seville, Paris, Lyon, Nantes, Berlin, Hamburg, Bremen, Vienna, Graz, Zurich, Basel, Rome, Milan, Turin,
    Naples, Athens, Prague, Brno, Warsaw, Gdansk, Oslo, Bergen, Stockholm, Malmo, Helsinki, Tampere, Copenhagen, Aarhus, Dublin,
    Cork, London, Leeds, Bristol, York, Glasgow, Cardiff, Boston, Chicago, Denver, Seattle, Austin, Dallas, Toronto, Ottawa,
    Montreal, Lima, Bogota, Quito, Santiago, Cairo, Tunis, Lagos, Accra, Nairobi, Dakar, Tokyo, Osaka, Kyoto, Seoul, Busan, Delhi,
    Mumbai, Pune, Hanoi, Manila, Jakarta, Sydney, Perth, Auckland, Budapest, Sofia, Riga, Vilnius, Tallinn, Zagreb, Split, Ghent,
    Antwerp, Utrecht, Leiden, Delft, Geneva, Istanbul, Ankara, Izmir, Beirut, Haifa, Dubai, Lahore, Dhaka, Kyiv, Odessa, Minsk,
    Houston, Miami, Phoenix, Portland, Detroit, Havana, Salvador, Recife, Cusco
    """
)
COLOURS = words_of(
    """
    red, green, blue, yellow, purple, orange, white, black, teal, pink, brown, violet, turquoise, maroon, navy, gold, silver,
    lilac, mint, magenta, crimson, indigo, beige, olive, coral, ivory, scarlet, amber, lavender, emerald, cyan, khaki, peach,
    ruby, jade
    """
)
ADJECTIVES = words_of(
    """
    silver, old, red, blue, green, small, big, golden, wooden, broken, heavy, spare, brass, copper, leather, woollen, glass,
    empty, new, round, black, white, striped, rusty, yellow, grey, purple, tall, short, long, thin, thick, folded, locked,
    painted, antique, portable, electric, plastic, iron, steel, velvet, silk, paper, stone, marble, clay, wicker, canvas, wet,
    dry, clean, dirty, second, last, first, blunt, sharp, cracked, polished, dusty, faded, foreign, borrowed, torn, tiny, huge,
    narrow, wide, square, secret, main, winter, summer
    """
)
THINGS = words_of(
    """
    key, lamp, umbrella, suitcase, ladder, bicycle, hammer, notebook, map, camera, clock, kettle, blanket, basket, mirror, violin,
    guitar, drum, trumpet, coat, scarf, hat, glove, boot, candle, lantern, torch, rope, bucket, shovel, rake, saw, drill, wrench,
    toolbox, battery, charger, cable, laptop, tablet, phone, printer, projector, screen, keyboard, letter, parcel, envelope,
    passport, ticket, receipt, folder, binder, contract, invoice, diary, book, dictionary, atlas, magazine, newspaper, painting,
    statue, vase, bowl, plate, cup, mug, jug, bottle, spoon, knife, fork, pan, pot, teapot, tray, box, crate, barrel, sack, bag,
    backpack, wallet, purse, ring, necklace, bracelet, watch, brooch, compass, telescope, microscope, globe, chessboard, puzzle,
    ball, kite, sled, tent, hammock, chair, table, bench, stool, desk, sofa, carpet, curtain, pillow, broom, mop, sponge, towel,
    soap, brush, comb, razor, bandage, helmet, saddle, whistle, flag, stamp, coin, medal, trophy, badge, pen, pencil, eraser,
    ruler, stapler, calculator, seed, rope, net, oar, anchor, paddle, snorkel, wheel, pump, valve, fuse, lever, engine, ladle,
    thermometer, scale, radio
    """
)
SPOTS = words_of(
    """
    drawer, cupboard, shelf, box, wardrobe, cabinet, chest, basket, safe, locker, desk, table, bench, bed, sofa, chair, stove,
    window, door, stairs, fireplace, piano, bookcase, fridge, sink, mirror, clock, crate, barrel, counter, trunk, carpet,
    radiator, wall, fence, well, tree, statue, gate
    """
)
ROOMS = words_of(
    """
    kitchen, garage, attic, cellar, hall, office, library, garden, workshop, bathroom, bedroom, living room, dining room, study,
    laundry room, pantry, barn, shed, lobby, basement, classroom, laboratory, storeroom, meeting room, waiting room, reception,
    greenhouse, stable, tower, chapel, museum, station, harbour, bakery, clinic, archive, canteen, gym, studio, theatre, ballroom,
    boathouse, corridor, balcony, courtyard, guest room, music room, mail room, print room, server room
    """
)
EVENTS = words_of(
    """
    meeting, concert, lecture, workshop, exhibition, market, parade, race, wedding, auction, festival, interview, exam, rehearsal,
    picnic, party, dinner, tour, match, film, class, seminar, inspection, training, ceremony, reunion, hearing, conference,
    course, play, fire drill, book club, choir practice, yoga class, board meeting, chess tournament, garden fair, science fair,
    team lunch, press conference, school trip, art class, film night, quiz night
    """
)
VENUES = words_of(
    """
    shop, bakery, museum, library, pool, gym, clinic, pharmacy, post office, town hall, cafe, restaurant, bank, gallery, zoo,
    cinema, theatre, ticket office, canteen, garden centre, bookshop, car park, castle, church, ferry, train, bus, night train,
    harbour office, visitor centre, tea room, bar, workshop, market hall
    """
)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = words_of(
    """
    January, February, March, April, May, June, July, August, September, October, November, December
    """
)
GOODS = words_of(
    """
    flour, sugar, rice, butter, milk, salt, honey, cement, sand, paint, paper, coal, oil, water, cheese, coffee, tea, wool, yarn,
    clay, gravel, hay, corn, syrup
    """
)
COUNTED = words_of(
    """
    chairs, windows, rooms, seats, students, books, boxes, horses, boats, tables, beds, lamps, trees, visitors, members, bottles,
    candles, doors, parking spaces, computers, guests, workers, cows, tickets, desks, paintings, shelves, bicycles, tents, cups
    """
)
_ONSETS = words_of(
    """
    b, c, d, f, g, h, j, k, l, m, n, p, r, s, t, v, w, z, br, ch, cr, dr, fl, gr, kl, pl, sh, sk, st, th, tr
    """
)
_VOWELS = words_of(
    """
    a, e, i, o, u, a, e, i, o, u, ai, ea, ee, oa, ou
    """
)
_DRAWERS = ("top", "second", "third", "bottom", "left", "right", "upper", "lower")
_NUMBERED = ("in room", "on shelf", "in locker", "in box", "on floor", "in hall", "at gate")
_MEASURES = ("grams", "kilograms", "litres", "cups", "pounds", "bags", "sacks", "tons", "spoons", "bottles")
_ENDS = ("", "", "", "", "n", "r", "l", "s", "k", "m", "t", "x", "nd", "rt")


def made_up(rng: random.Random, syllables: int | None = None) -> str:
    """A lower-case word that exists nowhere, of one to four syllables."""
    number = syllables or rng.choice((1, 1, 2, 2, 2, 3))
    return "".join(pick(rng, _ONSETS) + pick(rng, _VOWELS) + pick(rng, _ENDS) for _ in range(number))


def name(rng: random.Random) -> str:
    """A first name, sometimes with a surname or a title, sometimes made up."""
    luck = rng.random()
    first = pick(rng, NAMES) if luck < 0.4 else made_up(rng).capitalize()
    luck = rng.random()
    if luck < 0.75:
        return first
    last = pick(rng, SURNAMES) if rng.random() < 0.6 else made_up(rng).capitalize()
    if luck < 0.9:
        return f"{first} {last}"
    return f"{pick(rng, ('Mr', 'Mrs', 'Ms', 'Dr', 'Professor'))} {last}"


def first_name(rng: random.Random) -> str:
    """One first name, made up in six cases of ten: a name must be copied, not known."""
    return pick(rng, NAMES) if rng.random() < 0.4 else made_up(rng).capitalize()


def city(rng: random.Random) -> str:
    return pick(rng, CITIES) if rng.random() < 0.45 else made_up(rng).capitalize()


def thing(rng: random.Random) -> str:
    """A thing without its article: ``silver key``, ``lamp``, ``green blorkin``."""
    noun = pick(rng, THINGS) if rng.random() < 0.75 else made_up(rng)
    return f"{pick(rng, ADJECTIVES)} {noun}" if rng.random() < 0.6 else noun


def number(rng: random.Random, digits: int | None = None) -> int:
    """A whole number of `digits` digits, one to four when not given."""
    digits = digits or rng.choice((1, 2, 2, 3, 3, 4))
    return rng.randint(10 ** (digits - 1), 10**digits - 1) if digits > 1 else rng.randint(0, 9)


def code(rng: random.Random) -> str:
    """A code of letters and digits: ``K7-204``, ``BQX49``, ``4711``."""
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    luck = rng.random()
    if luck < 0.3:
        return str(rng.randint(1000, 99999))
    if luck < 0.6:
        return "".join(rng.choice(letters) for _ in range(rng.randint(1, 3))) + rng.choice(("", "-", " ")) + str(rng.randint(1, 999))
    return "".join(rng.choice(letters + "0123456789") for _ in range(rng.randint(3, 7)))


def clock(rng: random.Random) -> str:
    luck = rng.random()
    if luck < 0.6:
        return f"{rng.randint(0, 23)}:{rng.randrange(0, 60, 5):02d}"
    if luck < 0.85:
        return f"{rng.randint(1, 12)} {rng.choice(('am', 'pm'))}"
    return rng.choice(("noon", "midnight", "half past seven", "a quarter to nine", "six o'clock"))


def when(rng: random.Random) -> str:
    """A time with its preposition: ``on Monday``, ``at 9:15``, ``on 3 May``, ``in 1987``, ``yesterday``."""
    luck = rng.random()
    if luck < 0.25:
        return f"on {pick(rng, DAYS)}"
    if luck < 0.5:
        return f"at {clock(rng)}"
    if luck < 0.65:
        return f"on {pick(rng, DAYS)} at {clock(rng)}"
    if luck < 0.8:
        return f"on {rng.randint(1, 28)} {pick(rng, MONTHS)}"
    if luck < 0.86:
        return f"in {rng.randint(1820, 2024)}"
    if luck < 0.92:
        return f"in {pick(rng, MONTHS)}"
    return pick(
        rng,
        (
            "yesterday",
            "last week",
            "this morning",
            "last night",
            "two days ago",
            "in the evening",
            "before lunch",
            "after the storm",
            "at dawn",
        ),
    )


def where(rng: random.Random) -> str:
    """A place with its preposition: ``in the kitchen drawer``, ``behind the old piano``, ``in room 214``."""
    luck = rng.random()
    room = pick(rng, ROOMS) if rng.random() < 0.8 else made_up(rng) + rng.choice((" room", " house", " hall"))
    spot = pick(rng, SPOTS)
    side = pick(
        rng, ("in", "on", "under", "behind", "beside", "next to", "above", "near", "inside", "in front of", "on top of", "below", "by")
    )
    if luck < 0.25:
        return f"in the {room}"
    if luck < 0.4:
        return f"in the {room} {pick(rng, ('drawer', 'cupboard', 'cabinet', 'closet', 'locker'))}"
    if luck < 0.55:
        return f"{side} the {pick(rng, ADJECTIVES)} {spot}"
    if luck < 0.7:
        return f"{side} the {spot} in the {room}"
    if luck < 0.78:
        return f"in the {pick(rng, _DRAWERS)} drawer of the {pick(rng, ADJECTIVES)} desk"
    if luck < 0.86:
        return f"{pick(rng, _NUMBERED)} {rng.choice((str(rng.randint(1, 499)), code(rng)))}"
    if luck < 0.93:
        return f"{side} the {spot}"
    return f"{pick(rng, ('at', 'near', 'in'))} {city(rng)}"


def amount(rng: random.Random) -> str:
    """A price: ``12 euros``, ``$4.50``, ``320 dollars``."""
    value = str(number(rng)) if rng.random() < 0.7 else f"{rng.randint(1, 99)}.{rng.choice(('50', '20', '99', '95', '75'))}"
    value = "2" if value in ("0", "1") else value
    return pick(
        rng, (f"{value} euros", f"{value} dollars", f"${value}", f"{value} pounds", f"{value} euros", f"{value} crowns", f"{value} coins")
    )


def quantity(rng: random.Random) -> str:
    """An amount of goods: ``300 grams``, ``4 litres``."""
    return f"{rng.randint(2, 900)} {pick(rng, _MEASURES)}"
