"""Passwords that are guessed first, in lower case: words and runs that top every published list of leaked ones.

The list is small because a password has twelve characters or more: of the lists' first thousands hardly one has,
and ``policy.sign_in`` looks behind digits and signs added in front and at the end.
"""

_WORDS = """
password passwort passw0rd p@ssw0rd p@ssword pa55word password1password mypassword yourpassword
thepassword passwordpassword newpassword changeme changemenow changeit letmein letmeinplease letmeinnow
welcome welcomeback welcome1welcome administrator administrador adminadmin adminadminadmin admin rootroot
rootrootroot qwerty qwertyuiop qwertyuiopas qwertyuiopasdf qwertyqwerty qwerty123456 qwerty12345678
qwerty1234567890 1q2w3e4r5t6y 1q2w3e4r5t6y7u8i 1qaz2wsx3edc 1qaz2wsx3edc4rfv zaq12wsxcde3 q1w2e3r4t5y6
asdfghjkl asdfghjkl123 asdfghjklzxcvbnm zxcvbnm zxcvbnmasdfghjkl qazwsxedc qazwsxedcrfv azertyuiop
azertyuiopqs 123456789012 1234567890123 12345678901234 1234567890123456 012345678901 098765432109
987654321098 123123123123 121212121212 112233445566 111222333444 123456654321 123456123456 abcdefghijkl
abcdefghijklm abcdefghijklmnop abc123abc123 abcd1234abcd a1b2c3d4e5f6 iloveyou iloveyousomuch
iloveyouforever iloveyoubaby ilovemyself woaini5201314 woaini1314520 woaini 5201314 trustno1 trustnoone
trustnobody sunshine princess football baseball basketball superman batman dragon monkey master shadow
michael jennifer liverpool chelsea arsenal manchesterunited starwars maythe4thbewithyou pokemon minecraft
computer internet samsung whatever freedom flower cheese secret secretsecret topsecret mysecret private
security nothing correcthorsebatterystaple thisisapassword thisismypassword ihavenopassword
iforgotmypassword opensesame abracadabra rumpelstiltskin supercalifragilisticexpialidocious unbelievable
tongbao tongbaotongbao payment payments paymentpayment merchant merchantmerchant testtesttest testtest
guestguest defaultdefault temporary temppassword
"""

COMMON = frozenset(_WORDS.split())
