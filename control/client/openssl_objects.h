// OpenSSL's objects with owners, and its errors as sentences. Included by .cpp files only.
#pragma once

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace baton::control {

template <auto free_object>
struct OpensslFree {
  template <class T>
  void operator()(T* object) const {
    free_object(object);
  }
};

using BioOwner = std::unique_ptr<BIO, OpensslFree<BIO_free>>;
using CertificateOwner = std::unique_ptr<X509, OpensslFree<X509_free>>;
using ExtensionOwner = std::unique_ptr<X509_EXTENSION, OpensslFree<X509_EXTENSION_free>>;
using KeyOwner = std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>>;
using NameOwner = std::unique_ptr<GENERAL_NAME, OpensslFree<GENERAL_NAME_free>>;
using NamesOwner = std::unique_ptr<GENERAL_NAMES, OpensslFree<GENERAL_NAMES_free>>;
using NumberOwner = std::unique_ptr<BIGNUM, OpensslFree<BN_free>>;

// "WHAT (the first reason that OpenSSL gives)"; its list of errors is empty afterwards.
std::unexpected<Error> openssl_failure(std::string_view what);

// The first certificate of the text. The errors of these three are what follows the file's name:
// "is no certificate in PEM (no start line)".
Result<CertificateOwner> certificate_from_pem(const std::string& pem);
// Never asks for a passphrase.
Result<KeyOwner> key_from_pem(const std::string& pem);
// Seconds since 1970.
Result<std::int64_t> end_of(const X509& certificate);

}  // namespace baton::control
