"""Questions as somebody would ask them, each with words that stand only in the passage that answers it."""

from __future__ import annotations

QUESTIONS: tuple[tuple[str, str], ...] = (
    # lease.md
    ("How much notice do I have to give when I want to move out of the flat?", "three months' notice to the end"),
    ("What is the monthly rent of the flat and when is it due?", "1,140 euros"),
    ("How often can the landlord raise the rent?", "index of consumer prices"),
    ("When will I get my deposit back?", "within ten weeks after the keys"),
    ("Am I allowed to have a dog in the flat?", "a neighbour's allergy"),
    ("Who pays for repairing a dripping tap?", "350 euros in a year"),
    ("Can I rent the flat out to tourists?", "short stays is forbidden"),
    ("What colour do the walls have to be when I leave?", "returned in a light colour"),
    # bread.txt
    ("How do I know that my sourdough starter is ready?", "doubles within six hours"),
    ("How much salt goes into one loaf?", "10 grams of salt"),
    ("How do I fold the dough?", "turn the bowl a quarter"),
    ("How hot must the oven be for baking the loaf?", "oven with an iron pot"),
    ("Why is my bread dense and gummy?", "too little time or a weak starter"),
    ("How long can the dough stay in the fridge or refrigerator?", "up to two days"),
    # router.html
    ("What does a blinking orange light on the router mean?", "Firmware is being installed"),
    ("How do I reset the router if I forgot the password?", "paper clip"),
    ("How do I change the name of the wireless network?", "192.168.40.1"),
    ("Is there a speed limit for guests on the network?", "20 megabits"),
    ("How long is the guarantee of the router?", "keep the receipt"),
    ("Can I set bedtimes for the devices of my children?", "thirty extra minutes"),
    # staff.csv
    ("Who is the data protection officer?", "Salma Bennani"),
    ("What is the extension of the warehouse manager?", "4418"),
    ("Who speaks Ukrainian?", "Marta Kowalczyk"),
    ("Which colleague works in Osaka?", "Aiko Tanabe"),
    ("Who cooks in the canteen? I need the chef.", "Matteo Ferri"),
    # telescope.json
    ("What is the focal length of the Corvus telescope?", "focal_length_mm: 750"),
    ("Which eyepiece is best for looking at double stars?", "Barlow 2x"),
    ("How should the mirror be cleaned?", "distilled water with a drop"),
    ("Why is the picture upside down?", "erecting prism"),
    ("How long does the telescope have to cool down?", "About forty minutes"),
    # inventory.py
    ("Which function computes when to reorder an item?", "def reorder_point"),
    ("How large is the discount for goods that expire in three days?", "half in the last three"),
    ("What happens when a shelf carries too much weight?", "would carry too much"),
    ("How are duplicate SKUs merged?", "the earliest expiry date wins"),
    # lighthouse.md
    ("Who built the lighthouse?", "Alasdair Rennick"),
    ("What fuel did the lamp burn before it was electric?", "rapeseed oil"),
    ("Who kept the light alone during the influenza?", "Effie Strand"),
    ("Why was the pitch of the fog horn changed?", "cows were said"),
    ("What does visiting the lighthouse cost?", "Visits cost twelve pounds"),
    ("Which ships were lost on the reef?", "Maid of Orrin"),
    # travel.txt
    ("When may I book first class on the train?", "first class may be booked"),
    ("How expensive may a hotel be in a capital?", "in capitals up to 180 euros"),
    ("How much is the daily allowance for meals?", "28 euros are paid"),
    ("What do I get per kilometre with my own car?", "38 cents"),
    ("Until when do I have to hand in my receipts?", "within four weeks after the journey"),
    ("Does the travel insurance pay for dental crowns?", "deeper than thirty metres"),
    # garden.html
    ("When should I sow chillies?", "warm windowsill"),
    ("What helps against slugs?", "lay boards between the beds"),
    ("What causes blossom-end rot on tomatoes?", "from uneven watering"),
    ("When do I plant garlic?", "garlic in October"),
    ("My compost smells of ammonia, what is wrong?", "too much green in it"),
    # changes.jsonl
    ("Which version dropped support for Windows 8?", "Support for Windows 8 has ended"),
    ("When was two-factor sign-in introduced?", "hardware key"),
    ("After how many days is the trash emptied?", "after 45 days"),
    ("Which release fixed the printer crash?", "4.1.3"),
    # bylaws.docx
    ("How much is the yearly fee of the rowing club for students?", "110 crowns"),
    ("How far must a member of the club be able to swim?", "swim two hundred metres"),
    ("When may single sculls be taken out alone?", "between sunrise and sunset"),
    ("What majority is needed to change the bylaws?", "two thirds of the votes"),
    ("What is the crew weight for the boat Barnacle?", "130 to 160 kg"),
    # heatpump.pdf
    ("What does error E27 of the heat pump mean?", "below 0.9 bar"),
    ("How loud is the heat pump?", "43 decibels"),
    ("When is the hot water heated against legionella?", "Sunday at three in the morning"),
    ("Which slope should the heating curve have for radiators?", "1.1 for radiators"),
    ("How long is the warranty on the compressor?", "covered for ten years"),
    # minutes.md
    ("Where does year 8 go on the school trip?", "salt mine in Hallein"),
    ("What was decided about mobile phones at school?", "phones stay in the lockers"),
    ("Who repairs the roof of the gymnasium?", "Brandstetter"),
    ("What does a lost library book cost?", "a fee of three"),
    ("When is the next meeting of the council?", "13 September"),
    # aquarium.tsv
    ("What do Siamese fighting fish eat?", "insect larvae"),
    ("How large a tank does an oscar need?", "earthworms, shrimps"),
    ("Which fish jumps out of open tanks?", "Zebra danio"),
    # mongolia.txt
    ("What does fermented mare's milk taste of?", "buttermilk and champagne"),
    ("Who was bitten by the camel?", "our guide Ganbold"),
    ("How did the author sprain the wrist?", "fallen from a horse"),
    ("How long did the train from Irkutsk take?", "thirty hours"),
)

IN_OTHER_WORDS: tuple[tuple[str, str], ...] = (
    ("Whom do I call when a pipe bursts at night?","Mr Bellamy"),
    ("Are cats OK in the apartment?","a neighbour's allergy"),
    ("By how much can my payment for the apartment go up?","index of consumer prices"),
    ("My loaf came out flat, what did I do wrong?","risen too long"),
    ("Which lamp shows that the internet connection is down?","No signal on the line"),
    ("Somebody stole my Wi-Fi, where is the passphrase?","192.168.40.1"),
    ("Who can translate a letter into Polish for me?","Marta Kowalczyk"),
    ("What weight can the mount of the telescope bear?","payload_kg"),
    ("How do I align the mirrors with a laser?","three screws behind"),
    ("Where did the stone for the tower come from?","a quarry forty miles away"),
    ("When can boats land to visit the island with puffins?","only from August to March"),
    ("Will the company pay my speeding ticket?","Fines for speeding"),
    ("May I fly business class on a ten hour flight?","more than nine hours"),
    ("How do I keep carrots over the winter?","damp sand in the cellar"),
    ("How often should vegetables be watered in summer?","ten litres to the square metre"),
    ("Who gets the boats if the club is closed down?","lifeboat society"),
    ("How many members have to attend the meeting for a decision?","a fifth of the members"),
    ("There is ice on the outside unit, is that bad?","about every ninety minutes"),
    ("How much power does the heat pump use per year?","4,300 kilowatt-hours"),
    ("Where is basketball played until the roof is fixed?","hall of the fire brigade"),
    ("What pH do neon tetras want?","5.0 to 7.0"),
    ("What must one not do in the round tent?","step on the threshold"),
    ("Can you drink from the lake?","drunk as it is"),
    ("Which encryption protects stored files?","AES-256"),
)
"""Without embeddings only some of these can be answered: they share few words with their passages."""

UNANSWERABLE: tuple[str, ...] = (
    "Who won the football world cup in 1994?",
    "How do I install Python on a Mac?",
    "What is the capital of Australia?",
    "How do I treat a wasp sting?",
    "Which vaccines does a newborn baby get?",
    "Explain the theory of relativity to a child.",
    "What is the recipe for tiramisu?",
    "How many calories are in an avocado?",
    "Who wrote War and Peace?",
    "Translate good morning into Finnish.",
    "How do I file my income tax return?",
    "What is the melting point of tungsten?",
)

NEW_IN_OTHER_WORDS: tuple[tuple[str, str], ...] = (
    # lease.md
    ("If I leave my apartment in summer, how far ahead must I tell the owner?", "three months' notice to the end"),
    ("Is it enough to send the owner of my home a mail saying that I am quitting?", "an e-mail is not enough"),
    ("What happens when I transfer the money for the apartment too late?", "a fee of 25 euros"),
    ("How soon do I hear of a price increase for my home?", "at least sixty days before"),
    ("Am I allowed to keep a python as a pet?", "Snakes are not allowed at all"),
    ("May I put my apartment on a holiday rental site?", "short stays is forbidden"),
    ("Do I have to paint everything before I hand back the apartment?", "returned in a light colour"),
    # bread.txt
    ("There is dark fluid floating on my leaven, is it off?", "grey liquid on top only"),
    ("Why does a baker wait before adding the other ingredients to the flour?", "this rest is called the autolyse"),
    ("Do I have to work the bread mixture with my hands for a long time?", "You need not knead"),
    ("How can I stop the underside of my bread from getting scorched?", "a baking sheet on the rack below"),
    ("How warm is the inside of a loaf when it is done?", "Inside it should measure 96 degrees"),
    ("When can I slice the fresh bread?", "cool for two hours before it is cut"),
    # router.html
    ("May I unplug the internet box while it is updating itself?", "Firmware is being installed"),
    ("Visitors want to get online, how do I let them?", "20 megabits"),
    ("I locked myself out of the settings of my internet box, how do I begin anew?", "paper clip"),
    ("How do I keep my kids off the internet at night?", "thirty extra minutes"),
    ("The people next door interfere with my Wi-Fi", "Choose channel 1, 6 or 11"),
    ("For how many years is the internet box covered if it breaks?", "keep the receipt"),
    # staff.csv
    ("Whom do I ask about my wages?", "Paulo Teixeira"),
    ("Who has been with the firm for the longest time?", "Henrik Lund"),
    ("I feel ill at work, which physician do we have?", "Rosalind Chu"),
    ("Who looks after privacy?", "Salma Bennani"),
    ("Which trainee do we have in Germany?", "Jonas Pfeiffer"),
    # telescope.json
    ("Which lens shows me the rings of a planet?", "craters, Saturn's rings"),
    ("How wide is the opening through which light enters the telescope?", "aperture_mm"),
    ("How often may I wipe the optics of my telescope?", "not more than once in two years"),
    ("Why do the stars shimmer right after I carried my telescope out into the cold?", "About forty minutes"),
    # inventory.py
    ("Which code finds goods that are past their date?", "def spoiled"),
    ("How much reserve stock is kept, in days?", "SAFETY_DAYS = 14"),
    ("How much cheaper does the warehouse sell products shortly before they go bad?", "half in the last three"),
    ("Which code stops somebody from overloading a rack?", "would carry too much"),
    # lighthouse.md
    ("How many people died during the construction of the lighthouse?", "Nine workers drowned"),
    ("Why can somebody move the heavy glass of the lighthouse by hand?", "floats on a bath of mercury"),
    ("How far away can sailors see the beacon?", "nineteen sea miles"),
    ("What did the men of the lighthouse eat?", "They grew cabbages"),
    ("Since when does nobody have to run the lighthouse by hand?", "automatic since 1986"),
    ("How much does a tourist pay to look around the lighthouse?", "Visits cost twelve pounds"),
    # travel.txt
    ("I lost the bill for a taxi, do I get anything?", "up to 15 euros are paid on your word"),
    ("A customer pays for my dinner, what does that change?", "the allowance is cut by 40 percent"),
    ("Who has to sign when a trip was very expensive?", "the signature of the finance director"),
    ("May I have my shirts cleaned at the firm's cost?", "one wash a week is paid"),
    ("I need cash before I set off on a trip for the firm", "an advance of up to 600 euros"),
    ("I crashed my own vehicle on duty, who pays?", "an excess of 500 euros"),
    # garden.html
    ("When do I put spuds into the ground?", "chitted in egg boxes in March"),
    ("How can I tell that a squash is ready to be picked?", "the shell sounds hollow"),
    ("When should fruit trees be cut back?", "Prune apple trees"),
    ("May I throw leftovers from dinner on the compost?", "No cooked food"),
    # changes.jsonl
    ("How far can I take back what I have done in the program?", "up to 500 steps"),
    ("Since when do special letters in file names work?", "Umlauts in file names"),
    ("Can several people use one diary?", "Shared calendars"),
    # bylaws.docx
    ("From what age can children join the rowers?", "at least ten years old"),
    ("What happens if I forget to pay my dues to the rowers?", "may not use the boats"),
    ("How heavy may the crew of the big boat for eight be?", "600 to 720 kg"),
    # heatpump.pdf
    ("How often must a technician look at the heating so that it stays covered against defects?", "warranty of seven years ends"),
    ("My heating leaves it chilly even on mild days, what do I adjust?", "shift the whole curve upwards by two degrees"),
    ("What do I do when the heating says that too little water is flowing?", "Clean the strainer"),
    # minutes.md
    ("How much money did the town grant for fixing the sports building?", "approved 86,000"),
    # aquarium.tsv
    ("Which fish of the bottom likes to burrow?", "Panda corydoras"),
    # mongolia.txt
    ("What did the traveller hear when going down the desert hills?", "The sand sings when one slides down"),
)
"""Written before anything was tuned for them, and nothing may ever be: they tell what a user would find."""

NEW_UNANSWERABLE: tuple[str, ...] = (
    "How do I change the tyre of a bicycle?",
    "Which river flows through Vienna?",
    "What is the square root of 1764?",
    "Who painted the ceiling of the Sistine Chapel?",
    "How do I tie a bow tie?",
    "Why do cats purr?",
    "What are the symptoms of appendicitis?",
    "How is cheese made?",
    "Which programming language should I learn first?",
    "How do vaccines work?",
    "Who was the first woman in space?",
    "What is the difference between a virus and a bacterium?",
    "How do I get red wine out of a white carpet?",
    "How many strings does a harp have?",
    "What is a good name for a baby girl?",
    "How do I write a letter of application?",
    "Which countries border Switzerland?",
    "How does a jet engine work?",
    "How do I clean a cast-iron pan?",
    "What is the plot of Hamlet?",
    "How far is the Sun from the Earth?",
    "How do I set up an e-mail account on my phone?",
    "Which stocks should I buy this year?",
    "How do I teach my child to ride a bike?",
    "What does the term inflation mean in economics?",
    "How long do hard-boiled eggs keep?",
    "When was the Berlin Wall torn down?",
    "How do I knit a scarf?",
    "Which chess opening suits a beginner?",
    "What is the boiling point of nitrogen?",
)
