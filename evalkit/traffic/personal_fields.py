"""Names of fields to the kind of what is in them: `customer.first_name` holds a name, whatever it is."""

from __future__ import annotations

import re
from functools import lru_cache

from evalkit.core.redaction import SECRET_KEY

_NAMES_OF_KINDS = {
    "user": "userid enduserid customerid username login accountid memberid patientid employeeid",
    "session": "sessionid conversationid threadid chatid",
    "name": "firstname lastname fullname surname givenname familyname middlename maidenname customername "
    "contactname recipientname accountholder cardholder cardholdername nickname",
    "address": "address street streetaddress addressline addressline1 addressline2 postaladdress "
    "shippingaddress billingaddress homeaddress deliveryaddress zip zipcode postcode postalcode",
    "birth_date": "dateofbirth birthdate birthday dob",
    "email": "email emailaddress useremail customeremail contactemail",
    "phone": "phone phonenumber mobile mobilenumber telephone cell cellphone fax msisdn",
    "national_id": "ssn socialsecuritynumber nationalid nationalinsurancenumber passport passportnumber "
    "taxid driverslicense driverlicense licensenumber",
    "card": "cardnumber creditcard creditcardnumber debitcard",
    "secret": "cvv cvc cvv2 pin",
    "iban": "iban bankaccount accountnumber",
    "ip": "ip ipaddress clientip userip remoteaddr remoteip xforwardedfor xrealip clientaddress "
    "netpeerip netsockpeeraddr networkpeeraddress httpclientip",
}
_KIND_OF_NAME = {name: kind for kind, names in _NAMES_OF_KINDS.items() for name in names.split()}
_OTHER_SIGNS = re.compile(r"[^a-z0-9]")
_OF_MACHINES = re.compile(r"(?:^|[._])(?:server|service|host|net|url|http|tool|model)[._]address$")


@lru_cache(maxsize=8192)
def classify_field(name: str) -> str:
    """Return the kind of what a field holds, by the last parts of its name; empty if it may be anything.

    >>> [classify_field(name) for name in ("langfuse.user.id", "firstName", "server.address", "topic")]
    ['user', 'name', '', '']
    """
    if SECRET_KEY.search(name):
        return "secret"
    lower = name.lower()
    if _OF_MACHINES.search(lower):
        return ""
    parts = lower.split(".")
    for count in (3, 2, 1):
        joined = _OTHER_SIGNS.sub("", "".join(parts[-count:]))
        if kind := _KIND_OF_NAME.get(joined):
            return kind
    return ""
