/* A PKCS #11 module that is another one, and breaks as the file that FAULTY_CONTROL names says: empty, it does not. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* PKCS #11 2.40 §5.2: a version, then the functions in this order. */
struct list { unsigned char version[8]; void *call[68]; };
enum { GET_FUNCTION_LIST = 3, LOGIN = 18, SIGN_INIT = 42, SIGN = 43 };
enum { CKR_DEVICE_ERROR = 0x30, CKR_PIN_LOCKED = 0xa4, CKR_SESSION_HANDLE_INVALID = 0xb3 };

static struct list own;
static struct list *real;

static int says(const char *word) {
  char text[32] = "";
  FILE *file = fopen(getenv("FAULTY_CONTROL"), "r");
  if (file == NULL) return 0;
  if (fgets(text, sizeof text, file) == NULL) text[0] = 0;
  fclose(file);
  return strncmp(text, word, strlen(word)) == 0;
}

static unsigned long login(unsigned long session, unsigned long user, unsigned char *pin, unsigned long length) {
  if (says("pin-locked")) return CKR_PIN_LOCKED;
  return ((unsigned long (*)(unsigned long, unsigned long, unsigned char *, unsigned long))real->call[LOGIN])(session, user, pin, length);
}

static unsigned long sign_init(unsigned long session, void *mechanism, unsigned long key) {
  if (says("session-stolen")) return CKR_SESSION_HANDLE_INVALID;
  return ((unsigned long (*)(unsigned long, void *, unsigned long))real->call[SIGN_INIT])(session, mechanism, key);
}

static unsigned long sign(unsigned long session, unsigned char *data, unsigned long length, unsigned char *signature, unsigned long *signature_length) {
  if (says("hang")) for (;;) pause();
  if (says("segfault")) *(volatile int *)0 = 1;
  if (says("device-error")) return CKR_DEVICE_ERROR;
  unsigned long code = ((unsigned long (*)(unsigned long, unsigned char *, unsigned long, unsigned char *, unsigned long *))real->call[SIGN])(session, data, length, signature, signature_length);
  if (says("short-signature")) *signature_length = 32;
  return code;
}

unsigned long C_GetFunctionList(void **given) {
  void *module = dlopen(getenv("FAULTY_MODULE"), RTLD_NOW | RTLD_LOCAL);
  unsigned long (*get)(struct list **) = module == NULL ? NULL : (unsigned long (*)(struct list **))dlsym(module, "C_GetFunctionList");
  if (get == NULL) return CKR_DEVICE_ERROR;
  unsigned long code = get(&real);
  if (code != 0) return code;
  own = *real;
  own.call[GET_FUNCTION_LIST] = (void *)C_GetFunctionList;
  own.call[LOGIN] = (void *)login;
  own.call[SIGN_INIT] = (void *)sign_init;
  own.call[SIGN] = (void *)sign;
  *given = &own;
  return 0;
}
