"""Hold two short solutions in every language that has no built-in problems, for the tests of gates and answers."""

FURTHER: dict[str, tuple[str, str]] = {
    "af": (
        "Anna het 12 appels gehad en nog 3 gekoop, dus het sy nou 12 + 3 = 15 appels.",
        "In elke boks is daar 5 penne, dus is daar in 4 bokse 4 × 5 = 20 penne. Sy gee 8 vir haar broer, dan bly "
        "20 - 8 = 12 penne oor.",
    ),
    "cs": (
        "Anna měla 12 jablek a koupila další 3, takže teď má 12 + 3 = 15 jablek.",
        "V každé krabici je 5 per, takže ve 4 krabicích je 4 × 5 = 20 per. Osm jich dala bratrovi, zbývá tedy "
        "20 - 8 = 12 per.",
    ),
    "el": (
        "Η Άννα είχε 12 μήλα και αγόρασε άλλα 3, άρα τώρα έχει 12 + 3 = 15 μήλα.",
        "Κάθε κουτί έχει 5 στυλό, επομένως τα 4 κουτιά έχουν 4 × 5 = 20 στυλό. Έδωσε 8 στον αδελφό της, οπότε "
        "μένουν 20 - 8 = 12 στυλό.",
    ),
    "et": (
        "Annal oli 12 õuna ja ta ostis veel 3, seega on tal nüüd 12 + 3 = 15 õuna.",
        "Igas karbis on 5 pliiatsit, seega on neljas karbis 4 × 5 = 20 pliiatsit. Ta andis vennale 8, nii et järele "
        "jääb 20 - 8 = 12 pliiatsit.",
    ),
    "fa": (
        "آنا ۱۲ سیب داشت و ۳ سیب دیگر خرید، بنابراین اکنون 12 + 3 = 15 سیب دارد.",
        "در هر جعبه ۵ خودکار است، پس در ۴ جعبه 4 × 5 = 20 خودکار هست. "
        "او ۸ خودکار به برادرش داد و 20 - 8 = 12 خودکار باقی می‌ماند.",
    ),
    "hi": (
        "अन्ना के पास 12 सेब थे और उसने 3 और खरीदे, इसलिए अब उसके पास 12 + 3 = 15 सेब हैं।",
        "हर डिब्बे में 5 कलम हैं, इसलिए 4 डिब्बों में 4 × 5 = 20 कलम हैं। उसने 8 कलम अपने भाई को दिए, तो 20 - 8 = 12 कलम बचते हैं।",
    ),
    "ht": (
        "Anna te gen 12 pòm epi li te achte 3 lòt, kidonk kounye a li gen 12 + 3 = 15 pòm.",
        "Nan chak bwat gen 5 plim, kidonk nan 4 bwat gen 4 × 5 = 20 plim. Li bay frè li 8, epi 20 - 8 = 12 plim rete.",
    ),
    "hu": (
        "Annának 12 almája volt, és vett még 3-at, tehát most 12 + 3 = 15 almája van.",
        "Minden dobozban 5 toll van, így a 4 dobozban 4 × 5 = 20 toll van. Nyolcat a testvérének adott, ezért "
        "20 - 8 = 12 toll maradt.",
    ),
    "id": (
        "Anna punya 12 apel dan membeli 3 lagi, jadi sekarang dia punya 12 + 3 = 15 apel.",
        "Setiap kotak berisi 5 pena, jadi 4 kotak berisi 4 × 5 = 20 pena. Dia memberikan 8 pena kepada adiknya, "
        "sehingga tersisa 20 - 8 = 12 pena.",
    ),
    "it": (
        "Anna aveva 12 mele e ne ha comprate altre 3, quindi adesso ha 12 + 3 = 15 mele.",
        "Ogni scatola contiene 5 penne, quindi 4 scatole contengono 4 × 5 = 20 penne. Ne dà 8 a suo fratello, perciò "
        "rimangono 20 - 8 = 12 penne.",
    ),
    "ko": (
        "안나는 사과 12개를 가지고 있었고 3개를 더 샀으므로, 이제 사과는 12 + 3 = 15개입니다.",
        "상자마다 펜이 5자루씩 있으므로 상자 4개에는 펜이 4 × 5 = 20자루 있습니다. "
        "동생에게 8자루를 주었으니 20 - 8 = 12자루가 남습니다.",
    ),
    "mr": (
        "अ‍ॅनाकडे 12 सफरचंदे होती आणि तिने आणखी 3 विकत घेतली, म्हणून आता तिच्याकडे 12 + 3 = 15 सफरचंदे आहेत.",
        "प्रत्येक डब्यात 5 पेन आहेत, म्हणून 4 डब्यांत 4 × 5 = 20 पेन आहेत. तिने भावाला 8 पेन दिले, त्यामुळे 20 - 8 = 12 पेन उरले.",
    ),
    "ne": (
        "अन्नासँग १२ वटा स्याउ थिए र उनले अरू ३ वटा किनिन्, त्यसैले अब उनीसँग 12 + 3 = 15 वटा स्याउ छन्।",
        "हरेक बाकसमा ५ वटा कलम छन्, त्यसैले ४ वटा बाकसमा 4 × 5 = 20 वटा कलम छन्। "
        "उनले भाइलाई ८ वटा दिइन्, अब 20 - 8 = 12 वटा बाँकी छन्।",
    ),
    "nl": (
        "Anna had 12 appels en kocht er nog 3, dus nu heeft ze 12 + 3 = 15 appels.",
        "In elke doos zitten 5 pennen, dus in 4 dozen zitten 4 × 5 = 20 pennen. Ze geeft er 8 aan haar broer, dus "
        "blijven er 20 - 8 = 12 pennen over.",
    ),
    "pl": (
        "Anna miała 12 jabłek i kupiła jeszcze 3, więc teraz ma 12 + 3 = 15 jabłek.",
        "W każdym pudełku jest 5 długopisów, więc w 4 pudełkach jest 4 × 5 = 20 długopisów. Dała bratu 8, zatem "
        "zostało 20 - 8 = 12 długopisów.",
    ),
    "pt": (
        "A Ana tinha 12 maçãs e comprou mais 3, então agora ela tem 12 + 3 = 15 maçãs.",
        "Cada caixa tem 5 canetas, portanto 4 caixas têm 4 × 5 = 20 canetas. Ela deu 8 ao irmão, por isso sobram "
        "20 - 8 = 12 canetas.",
    ),
    "qu": (
        "Annaqa 12 manzanayuq karqan, hinaspa 3 astawan rantirqan, chaymi kunanqa 12 + 3 = 15 manzanayuq.",
        "Sapa cajapi 5 qillqanakuna kachkan, chayrayku 4 cajakunapi 4 × 5 = 20 qillqanakuna kachkan. Turinmanmi 8 "
        "qurqan, chaymi 20 - 8 = 12 qillqanakuna puchun.",
    ),
    "ro": (
        "Ana avea 12 mere și a cumpărat încă 3, așa că acum are 12 + 3 = 15 mere.",
        "În fiecare cutie sunt 5 pixuri, deci în 4 cutii sunt 4 × 5 = 20 de pixuri. I-a dat fratelui ei 8, așadar "
        "rămân 20 - 8 = 12 pixuri.",
    ),
    "sr": (
        "Ана је имала 12 јабука и купила је још 3, па сада има 12 + 3 = 15 јабука.",
        "У свакој кутији је 5 оловака, па је у 4 кутије 4 × 5 = 20 оловака. Брату је дала 8, тако да остаје "
        "20 - 8 = 12 оловака.",
    ),
    "ta": (
        "அன்னாவிடம் 12 ஆப்பிள்கள் இருந்தன, அவள் மேலும் 3 வாங்கினாள், எனவே இப்போது அவளிடம் 12 + 3 = 15 ஆப்பிள்கள் உள்ளன.",
        "ஒவ்வொரு பெட்டியிலும் 5 பேனாக்கள் உள்ளன, எனவே 4 பெட்டிகளில் 4 × 5 = 20 பேனாக்கள் உள்ளன. அவள் தம்பிக்கு 8 கொடுத்தாள், "
        "ஆகவே 20 - 8 = 12 மீதம் உள்ளன.",
    ),
    "tr": (
        "Anna'nın 12 elması vardı ve 3 tane daha aldı, bu yüzden şimdi 12 + 3 = 15 elması var.",
        "Her kutuda 5 kalem var, öyleyse 4 kutuda 4 × 5 = 20 kalem var. Kardeşine 8 tanesini verdi, geriye "
        "20 - 8 = 12 kalem kaldı.",
    ),
    "uk": (
        "В Анни було 12 яблук, вона купила ще 3, тож тепер у неї 12 + 3 = 15 яблук.",
        "У кожній коробці 5 ручок, отже, у 4 коробках 4 × 5 = 20 ручок. Вона віддала братові 8, тому лишилося "
        "20 - 8 = 12 ручок.",
    ),
    "ur": (
        "اینا کے پاس 12 سیب تھے اور اس نے 3 اور خریدے، اس لیے اب اس کے پاس 12 + 3 = 15 سیب ہیں۔",
        "ہر ڈبے میں 5 قلم ہیں، اس لیے 4 ڈبوں میں 4 × 5 = 20 قلم ہیں۔ "
        "اس نے 8 قلم اپنے بھائی کو دیے، تو 20 - 8 = 12 قلم بچے۔",
    ),
    "vi": (
        "Anna có 12 quả táo và mua thêm 3 quả nữa, vì vậy bây giờ cô ấy có 12 + 3 = 15 quả táo.",
        "Mỗi hộp có 5 cây bút, nên 4 hộp có 4 × 5 = 20 cây bút. "
        "Cô ấy cho em trai 8 cây, vậy còn lại 20 - 8 = 12 cây bút.",
    ),
    "yo": (
        "Anna ní èso ápù 12, ó sì ra 3 míràn, nítorí náà ó ti ní èso ápù 12 + 3 = 15 báyìí.",
        "Bírò 5 ló wà nínú àpótí kọ̀ọ̀kan, nítorí náà bírò 4 × 5 = 20 ló wà nínú àpótí 4. Ó fún arákùnrin rẹ̀ ní 8, "
        "bírò 20 - 8 = 12 ló sì kù.",
    ),
    "zu": (
        "U-Anna wayenama-apula angu-12 wabe esethenga amanye angu-3, ngakho manje usenama-apula angu-12 + 3 = 15.",
        "Ibhokisi ngalinye linamapeni angu-5, ngakho amabhokisi angu-4 anamapeni angu-4 × 5 = 20. Unike umfowabo "
        "angu-8, kusale amapeni angu-20 - 8 = 12.",
    ),
}
