"""What people bring along from other programs: whole folders of cards, chats, lorebooks, profiles and presets."""
